"""Filling in parts of what is given, going on from it, and varying it."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from echoes_rt import Echoes, InputError
from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.io.image import read_image
from echoes_rt.tasks import fill_sound
from echoes_rt.tasks import stream as streaming
from echoes_rt.tasks.call import Call
from echoes_rt.tasks.fill_sound import FADE_S

RATE = 22_050


def recording(path: Path, seconds: float, rate: int = RATE, channels: int = 1) -> FloatArray:
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 0.1, (round(seconds * rate), channels)).astype(np.float32)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return np.asarray(soundfile.read(path, dtype="float32", always_2d=True)[0])


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (44_100, 2), (16_000, 1)])
@pytest.mark.parametrize(
    ("start", "stop"), [(0.5, 0.54), (0.0, 0.03), (0.97, 1.0), (0.5, 0.5201)], ids=str
)
def test_sound_outside_of_the_part_is_the_input(
    start: float, stop: float, rate: int, channels: int, echoes: Echoes, tmp_path: Path
) -> None:
    given = recording(tmp_path / "in.wav", 1.0, rate, channels)
    made = echoes.inpaint(tmp_path / "in.wav", start=start, stop=stop, seed=1)
    assert made.sample_rate == rate
    assert made.samples.shape == given.shape
    seconds = np.arange(len(given)) / rate
    outside = (seconds < start - FADE_S - 1 / rate) | (seconds > stop + FADE_S + 1 / rate)
    np.testing.assert_array_equal(made.samples[outside], given[outside])
    inside = (seconds >= start) & (seconds < stop)
    assert not np.allclose(made.samples[inside], given[inside], atol=1e-3)


def test_seams_of_a_part_are_cross_faded() -> None:
    """The share of the input falls evenly to nothing before the part and rises after it."""
    given = np.full((RATE, 1), 0.5, np.float32)
    made = fill_sound._patched(given, RATE, -given[:, 0], RATE, 0, 0.4, 0.6)[:, 0]
    assert (made[round(0.4 * RATE) : round(0.6 * RATE)] == -0.5).all()
    assert np.abs(np.diff(made)).max() < 1.01 / (FADE_S * RATE)
    at_the_edges = fill_sound._patched(given, RATE, -given[:, 0], RATE, 0, 0.0, 1.0)
    assert (at_the_edges == -0.5).all()


def test_known_codes_of_a_sound_stay(echoes: Echoes, tmp_path: Path) -> None:
    recording(tmp_path / "in.wav", echoes.manifest.mel.duration_s)
    codes = echoes.encode_audio(tmp_path / "in.wav")[0].reshape(2, 4)
    column_s = echoes.manifest.mel.duration_s / 4
    made = echoes.inpaint(tmp_path / "in.wav", start=column_s, stop=2 * column_s, seed=1)
    kept = made.codes.reshape(2, 4)
    np.testing.assert_array_equal(kept[:, [0, 2, 3]], codes[:, [0, 2, 3]])


def test_picture_decides_what_is_filled_in(echoes: Echoes, tmp_path: Path, picture: Path) -> None:
    recording(tmp_path / "in.wav", 0.5)
    dials = {"temperature": 0.0, "seed": 1}
    alone, given = (
        echoes.inpaint(tmp_path / "in.wav", start=0.2, stop=0.24, image=image, **dials)  # type: ignore[arg-type]
        for image in (None, picture)
    )
    assert not np.array_equal(alone.codes, given.codes)


@pytest.mark.parametrize(
    ("start", "stop", "words"),
    [
        (-0.1, 0.2, "within the 1.00 s of the sound, got -0.1 s to 0.2 s"),
        (0.2, 0.2, "within the 1.00 s"),
        (0.5, 1.2, "within the 1.00 s"),
        (0.1, 0.9, "at most 0.02 s can be filled in at once, got 0.8 s"),
    ],
)
def test_impossible_parts_are_refused(
    start: float, stop: float, words: str, echoes: Echoes, tmp_path: Path
) -> None:
    recording(tmp_path / "in.wav", 1.0)
    with pytest.raises(InputError, match=words):
        echoes.inpaint(tmp_path / "in.wav", start=start, stop=stop)


@pytest.mark.parametrize(
    ("seconds", "rate", "channels"), [(1.0, RATE, 1), (0.01, RATE, 1), (0.5, 48_000, 2)]
)
def test_sound_goes_on(
    seconds: float, rate: int, channels: int, echoes: Echoes, tmp_path: Path
) -> None:
    given = recording(tmp_path / "in.wav", seconds, rate, channels)
    made = echoes.continue_(tmp_path / "in.wav", duration=0.4, seed=2)
    assert made.sample_rate == rate
    assert len(made.samples) == len(given) + round(0.4 * rate)
    np.testing.assert_array_equal(made.samples[: len(given)], given)
    step = np.abs(made.samples[len(given)] - made.samples[len(given) - 1]).max()
    assert step < 1e-6  # no click
    assert np.abs(made.samples[len(given) :]).max() <= 1
    other = echoes.continue_(tmp_path / "in.wav", duration=0.4, seed=3)
    assert not np.allclose(other.samples, made.samples)


@pytest.mark.parametrize("windows", [1, 3])
def test_codes_of_a_sound_that_goes_on_are_those_of_its_end(
    windows: int, echoes: Echoes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[IntArray] = []
    window = streaming._window

    def spy(call: Call, image: object, known: object, number: int) -> object:
        decoded.append(window(call, image, known, number))  # type: ignore[arg-type]
        return decoded[-1]

    monkeypatch.setattr(streaming, "_window", spy)
    recording(tmp_path / "in.wav", 0.5)
    fresh_s = 3 / 4 * echoes.manifest.mel.duration_s  # of four columns, one is known before
    made = echoes.continue_(tmp_path / "in.wav", duration=windows * fresh_s, seed=2)
    assert len(decoded) == windows
    np.testing.assert_array_equal(made.codes.reshape(2, 4), decoded[-1])
    given = echoes.encode_audio(tmp_path / "in.wav")[0]
    assert not np.array_equal(made.codes, given)


def test_sound_goes_on_by_a_sample_at_least(echoes: Echoes, tmp_path: Path) -> None:
    given = recording(tmp_path / "in.wav", 0.2)
    assert len(echoes.continue_(tmp_path / "in.wav", duration=1e-6).samples) == len(given) + 1


def test_share_of_the_codes_stays(echoes: Echoes, picture: Path, tmp_path: Path) -> None:
    recording(tmp_path / "in.wav", 0.2)
    for source, codes in (
        (tmp_path / "in.wav", echoes.encode_audio(tmp_path / "in.wav")[0]),
        (picture, echoes.encode_image(picture)[0]),
    ):
        same = [
            (echoes.vary(source, keep=0.5, seed=seed).codes == codes).mean() for seed in range(20)
        ]
        assert 0.4 < np.mean(same) < 0.75
        assert (echoes.vary(source, keep=1, seed=1).codes == codes).all()
        assert (echoes.vary(source, keep=0, seed=1).codes == codes).mean() < 0.5


@pytest.mark.parametrize("size", [(60, 90), (90, 60), (64, 64), (20, 20)])
def test_picture_outside_of_the_mask_is_the_input(
    size: tuple[int, int], echoes: Echoes, tmp_path: Path
) -> None:
    height, width = size
    rng = np.random.default_rng(1)
    given = np.asarray(rng.integers(0, 256, (height, width, 3)), dtype=np.uint8)
    mask = np.zeros_like(given)
    mask[: height // 3, -(width // 3) :] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    made = echoes.inpaint_image(given, tmp_path / "mask.png", seed=1)
    assert made.pixels.shape == given.shape
    outside = mask[..., 0] == 0
    np.testing.assert_array_equal(made.pixels[outside], given[outside])
    assert (made.pixels[~outside] != given[~outside]).mean() > 0.8


def test_known_codes_of_a_picture_stay(echoes: Echoes) -> None:
    given = np.asarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3)), dtype=np.uint8)
    mask = np.zeros_like(given)
    mask[8:16, 8:24] = 255  # patches of 8 x 8: row 1, columns 1 and 2
    made = echoes.inpaint_image(given, mask, seed=4)
    hidden = np.zeros((4, 4), bool)
    hidden[1, 1:3] = True
    kept = made.codes.reshape(4, 4)[~hidden]
    np.testing.assert_array_equal(kept, echoes.encode_image(given)[0].reshape(4, 4)[~hidden])


def test_sound_decides_what_is_painted(echoes: Echoes, tmp_path: Path, picture: Path) -> None:
    recording(tmp_path / "in.wav", 0.2)
    rgb = read_image(picture)[:, :60]
    mask = np.zeros_like(rgb)
    mask[10:50, 10:50] = 255
    codes = {
        echoes.inpaint_image(rgb, mask, audio=audio, seed=1, temperature=0).codes.tobytes()
        for audio in (None, tmp_path / "in.wav")
    }
    assert len(codes) == 2


@pytest.mark.parametrize(
    ("picture", "mask", "words"),
    [
        ((40, 40, 3), np.zeros((40, 40, 3), np.uint8), "the mask is empty"),
        ((40, 40, 3), np.full((30, 40, 3), 255, np.uint8), "40 x 40, got 40 x 30"),
        ((40, 100, 3), np.full((40, 100, 3), 255, np.uint8), "40 x 40 .* got one of 100 x 40"),
    ],
    ids=["empty", "of another size", "beyond what the model sees"],
)
def test_masks_that_make_no_sense_are_refused(
    picture: tuple[int, ...], mask: Any, words: str, echoes: Echoes
) -> None:
    with pytest.raises(InputError, match=words):
        echoes.inpaint_image(np.zeros(picture, np.uint8), mask)
