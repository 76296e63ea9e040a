import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from echoes_rt import CancelledError, Echoes, InputError, Sound
from echoes_rt.io.audio import read_audio
from echoes_rt.model import levelled
from echoes_rt.tasks import whole


def test_picture_becomes_a_sound(echoes: Echoes, picture: Path) -> None:
    sound = echoes.generate(picture, seed=7)
    mel = echoes.bundle.manifest.mel
    assert isinstance(sound, Sound)
    assert sound.samples.shape == (mel.n_samples,)
    assert sound.samples.dtype == np.float32
    assert 0 < np.abs(sound.samples).max() <= 1
    assert sound.sample_rate == mel.sample_rate
    assert sound.duration_s == mel.duration_s
    assert sound.codes.shape == (echoes.bundle.manifest.tokens.audio.n_tokens,)
    assert (sound.seed, sound.bundle, sound.device) == (7, "echoes-tiny", "cpu")
    assert list(sound.timings_ms) == ["load", "encode_image", "decode_tokens", "decode_audio"]


def test_different_seeds_give_different_sounds(echoes: Echoes, picture: Path) -> None:
    codes = {echoes.generate(picture, seed=seed).codes.tobytes() for seed in range(20)}
    assert len(codes) > 15


def test_drawn_seed_is_reported_and_makes_the_sound_again(echoes: Echoes, picture: Path) -> None:
    first, second = echoes.generate(picture), echoes.generate(picture)
    assert first.seed != second.seed
    again = echoes.generate(picture, seed=first.seed)
    np.testing.assert_array_equal(again.samples, first.samples)


def test_options_are_kept_with_the_sound(echoes: Echoes, picture: Path) -> None:
    sound = echoes.generate(picture, seed=1, steps=2, guidance_scale=1.5, temperature=0.5)
    sampling = sound.sampling
    assert (sampling.steps, sampling.guidance_scale) == (2, 1.5)
    assert sampling.temperature == 0.5
    assert echoes.generate(picture, seed=1).sampling == echoes.bundle.manifest.sampling


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 0}, r"steps must be a whole number in \[1, 1000\], got 0"),
        ({"steps": 1001}, r"steps must be a whole number in \[1, 1000\], got 1001"),
        ({"steps": "4"}, "steps must be"),
        ({"guidance_scale": -1}, "guidance_scale must be"),
        ({"guidance_interval": 3}, "guidance_interval must be"),
        ({"temperature": True}, "temperature must be"),
        ({"seed": -1}, r"seed must be in \[0, 18446744073709551615\], got -1"),
    ],
)
def test_options_out_of_range_are_refused(
    options: dict[str, Any], sentence: str, echoes: Echoes, picture: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        echoes.generate(picture, **options)


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_threads_out_of_range_are_refused(threads: int, tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match=rf"threads must be in \[1, 1024\], got {threads}"):
        Echoes.load(tiny_bundle, threads=threads)


def test_callback_sees_the_steps_and_can_cancel(echoes: Echoes, picture: Path) -> None:
    seen: list[tuple[int, int]] = []
    echoes.generate(picture, steps=3, on_step=lambda *step: seen.append(step))
    assert seen == [(0, 3), (1, 3), (2, 3)]
    with pytest.raises(CancelledError):
        echoes.generate(picture, on_step=lambda *_: False)


def test_one_model_serves_many_threads(tiny_bundle: Path, picture: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: echoes.generate(picture, seed=seed).codes, range(16)))
    for seed, codes in enumerate(together):
        np.testing.assert_array_equal(codes, echoes.generate(picture, seed=seed).codes)


def test_many_pictures_are_decoded_in_parts(
    echoes: Echoes, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 22_050).astype(np.float32)
    sizes: list[int] = []
    decode = Echoes.decode_image

    def note(model: Echoes, codes: Any) -> Any:
        sizes.append(len(codes))
        return decode(model, codes)

    monkeypatch.setattr(Echoes, "decode_image", note)
    (pictures,) = echoes.generate_many([samples], count=whole.BATCH + 3, seed=5)
    assert sizes == [whole.BATCH, 3]
    for made in (pictures[0], pictures[-1]):
        np.testing.assert_array_equal(echoes.decode_image(made.codes[None])[0], made.pixels)  # type: ignore[union-attr]


def test_a_few_unknown_tokens_need_no_more_steps_than_they_are(echoes: Echoes) -> None:
    grid = echoes.manifest.tokens.audio
    tokens = np.zeros((1, grid.n_tokens), dtype=np.int32)
    tokens[0, -2:] = grid.mask_token
    steps: list[int] = []
    echoes.decode_tokens("audio", tokens, seeds=[1], on_step=lambda _, of: steps.append(of))
    assert steps == [2, 2]


def test_more_steps_than_unknown_tokens_are_those_that_are_needed(
    echoes: Echoes, picture: Path
) -> None:
    sound = echoes.generate(picture, seed=1, steps=24)
    assert sound.sampling.steps == 8
    np.testing.assert_array_equal(sound.codes, echoes.generate(picture, seed=1, steps=8).codes)
    both = echoes.cogenerate(seed=1, steps=24)
    assert [made.sampling.steps for made in both] == [8, 16]
    long = 3 * echoes.manifest.mel.n_samples
    parts = echoes.stream(picture, duration=long / 22_050, seed=1, steps=8)
    assert sum(len(part) for part in parts) == long


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (np.zeros(9, np.int16), r"must be floats in \[-1, 1\], got \(9,\) int16; divide 16-bit"),
        (np.zeros((9, 2), np.float32), r"got \(9, 2\) float32; give \(samples, sample_rate\)"),
        (np.zeros(0, np.float32), r"got \(0,\) float32"),
        (np.array([0, np.nan], np.float32), "has samples that are not numbers"),
    ],
)
def test_samples_of_another_kind_are_refused(samples: Any, sentence: str, echoes: Echoes) -> None:
    for verb in (echoes.encode_audio, echoes.audio_to_image):
        with pytest.raises(InputError, match=sentence):
            verb(samples)


def test_start_gives_the_codes_that_the_whole_file_gives(echoes: Echoes, tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    samples = np.random.default_rng(0).normal(0, 0.1, (3 * 48_000, 2))
    soundfile.write(path, samples, 48_000)
    mel = echoes.manifest.mel
    whole = read_audio(path, mel.sample_rate)
    for start in (0.0, 0.7, 2.95):
        rest = whole[round(start * mel.sample_rate) :]
        expected = echoes.encode_audio(rest)[0]
        for source, second in ((path, start), (whole, start), (rest.astype(np.float64), 0.0)):
            varied = echoes.vary(source, keep=1, start=second, seed=1)
            np.testing.assert_array_equal(varied.codes, expected)


class FakeVocoder:
    """Gives the waveform again and again, for as long as the tiny bundle's clip lasts."""

    device = "cpu"

    def __init__(self, waveform: list[float]) -> None:
        self.waveform = np.resize(np.array(waveform, dtype=np.float32), (1, 2048))

    def run(self, _: object) -> dict[str, Any]:
        return {"waveform": self.waveform}


def test_loud_sound_is_scaled_and_not_clipped(tiny_bundle: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu")
    codes = np.zeros((1, 8), dtype=np.int32)
    echoes._sessions["vocoder"] = FakeVocoder([0.5, -2.0, 1.0])
    assert echoes.decode_audio(codes)[0, :3].tolist() == [0.25, -1.0, 0.5]
    echoes._sessions["vocoder"] = FakeVocoder([0.5, -0.25])
    assert echoes.decode_audio(codes)[0, :2].tolist() == [0.5, -0.25]


def test_quiet_sound_is_raised_as_far_as_its_peak_allows(tiny_bundle: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu")
    codes = np.zeros((1, 8), dtype=np.int32)

    def heard(waveform: list[float]) -> Any:
        echoes._sessions["vocoder"] = FakeVocoder(waveform)
        return echoes.decode_audio(codes)[0, :2]

    np.testing.assert_allclose(heard([1e-4, -1e-4]), [0.01, -0.01], rtol=1e-6)
    click = np.zeros((1, 10_000), np.float32)
    click[0, 0] = 0.5
    assert levelled(click).max() == 1.0
    assert heard([0.0, 0.0]).tolist() == [0.0, 0.0]


def test_zip_works_from_start_to_end(tiny_bundle: Path, picture: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle)
    folder_sound = Echoes.load(tiny_bundle).generate(picture, seed=4)
    zip_sound = Echoes.load(archive).generate(picture, seed=4)
    np.testing.assert_array_equal(zip_sound.samples, folder_sound.samples)
