from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from echoes_rt import CancelledError, Echoes, InputError
from echoes_rt.io.audio import read_audio
from echoes_rt.model import levelled
from echoes_rt.tasks import whole


def test_drawn_seed_is_reported_and_makes_the_sound_again(echoes: Echoes, picture: Path) -> None:
    first, second = echoes.generate(picture), echoes.generate(picture)
    assert first.seed != second.seed
    again = echoes.generate(picture, seed=first.seed)
    np.testing.assert_array_equal(again.samples, first.samples)


@pytest.mark.parametrize("options", [{"steps": "4"}, {"temperature": True}, {"seed": -1}])
def test_options_out_of_range_are_refused(
    options: dict[str, Any], echoes: Echoes, picture: Path
) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))} must be"):
        echoes.generate(picture, **options)


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


@pytest.mark.parametrize(
    ("waveform", "heard"),
    [
        ([0.5, -2.0, 1.0], [0.25, -1.0, 0.5]),  # scaled and not clipped
        ([0.5, -0.25], [0.5, -0.25]),
        ([1e-4, -1e-4], [0.01, -0.01]),  # raised
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_level_of_a_sound(waveform: list[float], heard: list[float], tiny_bundle: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu")
    whole = np.resize(np.array(waveform, dtype=np.float32), (1, 2048))
    echoes._sessions["vocoder"] = SimpleNamespace(run=lambda _: {"waveform": whole})  # type: ignore[assignment]
    made = echoes.decode_audio(np.zeros((1, 8), dtype=np.int32))
    np.testing.assert_allclose(made[0, : len(heard)], heard, rtol=1e-6)


def test_a_quiet_sound_is_raised_as_far_as_its_peak_allows() -> None:
    click = np.zeros((1, 20_000), np.float32)
    click[0, 0] = 0.5
    assert levelled(click).max() == 1.0
