"""Sound of any length."""

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoes_rt import BundleError, CancelledError, Echoes, InputError
from echoes_rt.decode.plan import FloatArray
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.tokens import Grid
from echoes_rt.io.audio import write_audio
from echoes_rt.io.image import read_image
from echoes_rt.tasks import stream as streaming
from echoes_rt.tasks.call import Call


@pytest.mark.parametrize("samples", [1, 100, 2048, 2049, 5000, 20_001])
def test_stream_has_the_length_that_was_asked_for(
    samples: int, echoes: Echoes, picture: Path
) -> None:
    rate = echoes.manifest.mel.sample_rate
    chunks = list(echoes.stream(picture, duration=samples / rate, seed=1))
    assert sum(len(chunk) for chunk in chunks) == samples
    assert all(chunk.dtype == np.float32 and np.abs(chunk).max() <= 1 for chunk in chunks)


def test_one_window_is_what_generate_gives_but_for_its_level(echoes: Echoes, picture: Path) -> None:
    duration = echoes.manifest.mel.duration_s
    (chunk,) = echoes.stream(picture, duration=duration, seed=5)
    codes = echoes.image_to_audio(picture, seed=5).codes
    (samples,) = echoes.vocode(echoes.decode_mel(codes[None], seeds=[5]))
    np.testing.assert_allclose(chunk, streaming._limited(samples), atol=1e-6)


def test_same_seed_gives_the_same_stream_and_a_longer_one_begins_with_it(
    echoes: Echoes, picture: Path
) -> None:
    def made(duration: float, seed: int) -> FloatArray:
        return np.concatenate([*echoes.stream(picture, duration=duration, seed=seed)])

    short, again, long = made(0.3, 7), made(0.3, 7), made(0.9, 7)
    np.testing.assert_array_equal(short, again)
    settled = len(short) - 2048  # its last window was not blended with another
    np.testing.assert_allclose(long[:settled], short[:settled], atol=1e-6)
    assert not np.allclose(made(0.3, 8), short)


def test_the_end_of_a_window_is_not_heard_but_where_it_is_the_last() -> None:
    grid = Grid(height=5, width=27, codebook_size=8)
    spec = MelSpec(n_frames=27 * 16)
    column_s = spec.duration_s / 27
    assert (streaming.overlap_columns(27), streaming.fresh_columns(27)) == (9, 15)
    windows = [streaming.count_windows(spec, grid, n * column_s) for n in (26.9, 27.1, 41.9, 42.1)]
    assert windows == [1, 2, 2, 3]


def test_windows_differ(echoes: Echoes, picture: Path) -> None:
    """Each window has noise of its own: a loop of one window would repeat itself."""
    samples = np.concatenate([*echoes.stream(picture, duration=1.0, seed=3)])
    period = 3 * 8 * 64  # fresh columns x frames x hop
    windows = samples[: len(samples) // period * period].reshape(-1, period)
    assert len({window.tobytes() for window in windows}) == len(windows)


def test_chunks_have_no_seams(
    echoes: Echoes, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunks are what the vocoder makes of the whole log-mel in one go."""
    mels: list[FloatArray] = []
    blended = streaming._blended

    def spy(*arguments: object) -> object:
        for mel in blended(*arguments):  # type: ignore[arg-type]
            mels.append(mel)
            yield mel

    monkeypatch.setattr(streaming, "_blended", spy)
    samples = np.concatenate([*echoes.stream(picture, duration=1.0, seed=3)])
    assert len(mels) > 5
    whole = echoes.vocode(np.concatenate(mels, axis=1)[None])[0]
    np.testing.assert_allclose(samples, streaming._limited(whole)[: len(samples)], atol=1e-5)


def test_windows_know_the_end_of_the_one_before(
    echoes: Echoes, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[object, FloatArray]] = []
    window = streaming._window

    def spy(call: Call, image: object, known: object, number: int) -> object:
        codes = window(call, image, known, number)  # type: ignore[arg-type]
        seen.append((known, codes))
        return codes

    monkeypatch.setattr(streaming, "_window", spy)
    list(echoes.stream(picture, duration=0.5, seed=3))
    assert seen[0][0] is None
    for (_, before), (known, after) in itertools.pairwise(seen):
        np.testing.assert_array_equal(known, before[:, -1:])
        np.testing.assert_array_equal(after[:, :1], before[:, -1:])


def test_memory_does_not_grow_with_the_length(
    echoes: Echoes, picture: Path, tmp_path: Path
) -> None:
    def peak(duration: float) -> int:
        tracemalloc.start()
        try:
            chunks = echoes.stream(picture, duration=duration, seed=1)
            write_audio(tmp_path / "long.wav", chunks, 22_050)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1.0)  # whatever is loaded once
    short, long = peak(1.0), peak(8.0)
    assert soundfile.info(tmp_path / "long.wav").frames == 8 * 22_050
    assert long < short + 8 * 22_050 * 4 / 2  # less than half of what the samples alone would take


def test_picture_may_change_with_time(echoes: Echoes, picture: Path) -> None:
    first = read_image(picture)
    second = np.asarray(255 - first, dtype=np.uint8)
    asked: list[float] = []

    def picture_at(seconds: float) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
        asked.append(seconds)
        return first if seconds < 0.2 else second  # type: ignore[return-value]

    changing = np.concatenate([*echoes.stream(picture_at, duration=0.6, seed=2)])
    constant = np.concatenate([*echoes.stream(picture, duration=0.6, seed=2)])
    assert asked == sorted(asked)
    assert asked[0] == 0
    assert len(asked) == echoes.windows(0.6)
    n_same = int(0.1 * 22_050)
    np.testing.assert_allclose(changing[:n_same], constant[:n_same], atol=1e-6)
    assert not np.allclose(changing, constant)


def test_endless_stream_goes_on(echoes: Echoes, picture: Path) -> None:
    stream = echoes.stream(picture, seed=1)
    total = 0
    while total < 3 * 22_050:
        total += len(next(stream))


def test_a_stream_says_how_it_is_made_and_saves_itself(
    echoes: Echoes, picture: Path, tmp_path: Path
) -> None:
    stream = echoes.stream(picture, duration=0.5, steps=3)
    again = echoes.stream(picture, duration=0.5, seed=stream.seed, steps=3)
    path = stream.save(tmp_path / "sea.wav")
    samples, rate = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(samples, np.concatenate([*again]), atol=1 / 32_000)
    assert (stream.sample_rate, stream.sampling.steps, stream.duration_s) == (rate, 3, 0.5)
    assert f"seed {stream.seed}" in repr(stream)
    assert {"encode_image", "decode_tokens", "decode_audio"} <= stream.timings_ms.keys()
    with pytest.raises(InputError, match="without end"):
        echoes.stream(picture).save(tmp_path / "endless.wav")
    assert not (tmp_path / "endless.wav").exists()


def test_stream_can_be_cancelled(echoes: Echoes, picture: Path) -> None:
    steps: list[int] = []

    def on_step(step: int, _: int) -> bool:
        steps.append(step)
        return len(steps) < 6

    with pytest.raises(CancelledError):
        list(echoes.stream(picture, duration=5, seed=1, on_step=on_step))


@pytest.mark.parametrize("duration", [0, -1, float("nan"), float("inf"), 1e9])
def test_impossible_length_is_refused(duration: float, echoes: Echoes, picture: Path) -> None:
    with pytest.raises(InputError, match=r"duration must be in \(0, 86400\] seconds, got"):
        next(echoes.stream(picture, duration=duration))
    with pytest.raises(InputError, match=r"duration must be in \(0, 86400\] seconds, got"):
        echoes.windows(duration)


def test_clips_of_one_column_cannot_go_on(echoes: Echoes, picture: Path) -> None:
    tokens = echoes.manifest.tokens
    layout = replace(tokens, audio=replace(tokens.audio, height=8, width=1))
    bundle = replace(echoes.bundle, manifest=replace(echoes.manifest, tokens=layout))
    with pytest.raises(BundleError, match="has one token column a clip; long sound needs two"):
        next(Echoes(bundle, echoes.choice).stream(picture, duration=1))


def test_limiter_is_gentle_and_never_clips() -> None:
    samples = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    limited = streaming._limited(samples)
    assert np.abs(limited).max() < 1
    assert (np.diff(limited) > 0).all()
    quiet = np.abs(samples) <= 0.8
    np.testing.assert_array_equal(limited[quiet], samples[quiet])


def test_number_of_windows_is_what_is_decoded(echoes: Echoes, picture: Path) -> None:
    for duration in (0.01, 0.092, 0.1, 0.5, 1.0):
        steps: list[int] = []
        chunks = echoes.stream(
            picture,
            duration=duration,
            steps=1,
            on_step=lambda step, _, steps=steps: steps.append(step),  # type: ignore[misc]
        )
        list(chunks)
        assert len(steps) == echoes.windows(duration)
