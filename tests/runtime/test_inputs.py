"""What a verb takes beside a file's name, and what its results give beside a file."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.runtime.conftest import Encoded

from echoes_rt import Echoes, InputError, Picture, Sound
from echoes_rt.io.image import read_image

RATE = 22_050


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "in.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, (RATE // 2, 2))
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def smooth(tmp_path: Path) -> Path:
    """A PNG, because its pixels are the same for every library."""
    path = tmp_path / "smooth.png"
    coarse = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (90, 60), interpolation=cv2.INTER_CUBIC))
    return path


PICTURES: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "bytes": Path.read_bytes,
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "open file": lambda path: path.open("rb"),
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "uint8": read_image,
    "float32": lambda path: read_image(path).astype(np.float32) / 255,
    "float64": lambda path: read_image(path) / 255,
    "RGBA": lambda path: np.dstack([read_image(path), np.full((60, 90), 255, np.uint8)]),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the opened file is left to the test's end
@pytest.mark.parametrize("form", PICTURES)
def test_a_picture_in_any_form_gives_what_its_file_gives(
    form: str, echoes: Echoes, smooth: Path
) -> None:
    expected = echoes.generate(smooth, seed=1).codes
    np.testing.assert_array_equal(echoes.generate(PICTURES[form](smooth), seed=1).codes, expected)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_a_pil_picture_gives_what_its_file_gives(
    mode: str, echoes: Echoes, smooth: Path, tmp_path: Path
) -> None:
    Image.open(smooth).convert(mode).save(tmp_path / "other.png")
    expected = echoes.generate(tmp_path / "other.png", seed=1).codes
    made = echoes.generate(Image.open(tmp_path / "other.png"), seed=1)
    np.testing.assert_array_equal(made.codes, expected)


def test_a_pil_picture_is_turned_upright(echoes: Echoes, smooth: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.open(smooth).save(tmp_path / "turned.png", exif=exif)
    expected = echoes.encode_image(tmp_path / "turned.png")
    np.testing.assert_array_equal(
        echoes.encode_image(Image.open(tmp_path / "turned.png")), expected
    )
    assert (expected != echoes.encode_image(smooth)).any()


def test_grey_and_clear_arrays_are_what_files_of_them_are(echoes: Echoes, tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), ramp)
    clear = np.dstack([ramp, ramp, ramp, ramp.T])
    cv2.imwrite(str(tmp_path / "clear.png"), clear)
    for name, arrays in (
        ("grey.png", (ramp, ramp[..., None], ramp / 255)),
        ("clear.png", (clear, clear / 255)),
    ):
        for array in arrays:
            expected = echoes.encode_image(tmp_path / name)
            np.testing.assert_array_equal(echoes.encode_image(array), expected)


def test_a_mask_may_be_of_bools(echoes: Echoes, smooth: Path) -> None:
    mask = np.zeros((60, 90), dtype=bool)
    mask[:, :30] = True
    made = echoes.inpaint_image(smooth.read_bytes(), mask, seed=1)
    given = read_image(smooth)
    np.testing.assert_array_equal(made.pixels[:, 30:], given[:, 30:])
    assert (made.pixels[:, :30] != given[:, :30]).any()


def test_a_sound_in_any_form_gives_what_its_file_gives(echoes: Echoes, recording: Path) -> None:
    samples, rate = soundfile.read(recording, dtype="float32")
    expected = echoes.encode_audio(recording)
    for form in (
        recording.read_bytes(),
        io.BytesIO(recording.read_bytes()),
        (samples, rate),
        (samples.astype(np.float64), np.int64(rate)),
        samples.mean(axis=1),
    ):
        np.testing.assert_array_equal(echoes.encode_audio(form), expected)
        made = echoes.generate(form if not isinstance(form, io.BytesIO) else form.getvalue())
        assert isinstance(made, Picture)


def test_a_recording_in_any_form_keeps_its_samples(echoes: Echoes, recording: Path) -> None:
    samples, rate = soundfile.read(recording, dtype="float32")
    before = samples.copy()
    expected = echoes.inpaint(recording, start=0.2, stop=0.24, seed=1)
    for form in (recording.read_bytes(), (samples, rate)):
        made = echoes.inpaint(form, start=0.2, stop=0.24, seed=1)
        np.testing.assert_array_equal(made.samples, expected.samples)
        assert (made.sample_rate, made.depth) == (RATE, "FLOAT")
    np.testing.assert_array_equal(samples, before)
    longer = echoes.continue_((samples, rate), duration=0.1, seed=1)
    np.testing.assert_array_equal(longer.samples[: RATE // 3], samples[: RATE // 3])


def test_sound_containers_are_known_by_their_content(
    echoes: Echoes, encoded: Encoded, tmp_path: Path
) -> None:
    path = encoded(tmp_path / "in.m4a", "aac")
    np.testing.assert_array_equal(echoes.encode_audio(path.read_bytes()), echoes.encode_audio(path))
    assert isinstance(echoes.generate(path.read_bytes()), Picture)


BAD: dict[str, tuple[Any, str]] = {
    "None": (None, "got NoneType"),
    "list": ([1, 2], "got list"),
    "number": (7, "got int"),
    "text file": (io.StringIO("hello"), "gives str, not bytes"),
    "file at its end": (io.BytesIO(), "nothing to read"),
    "unknown content": (b"hello", "neither a picture nor a sound"),
    "cut picture": (b"\x89PNG\r\n\x1a\n", "<bytes>"),
    "floats of 255": (np.full((9, 9, 3), 255.0), "divide by 255"),
    "not a number": (np.full((9, 9), np.nan), r"must lie in \[0, 1\]"),
    "uint16": (np.zeros((9, 9), np.uint16), "uint16"),
    "channels first": (np.zeros((3, 9, 9), np.uint8), r"\(3, 9, 9\)"),
    "nothing": (np.zeros((0, 9, 3), np.uint8), r"\(0, 9, 3\)"),
    "rate first": ((22_050, np.zeros(9, np.float32)), r"got \(int, ndarray\)"),
    "no rate": ((np.zeros(9, np.float32),), r"got \(ndarray\)"),
    "rate of 0": ((np.zeros(9, np.float32), 0), r"\[1, 1000000\]"),
    "whole numbers": ((np.zeros(9, np.int16), RATE), "divide 16-bit"),
    "no samples": (np.zeros(0, np.float32), r"got \(0,\) float32"),
    "samples that are no numbers": (np.array([0, np.nan], np.float32), "not numbers"),
    "channels first sound": ((np.zeros((2, 9000), np.float32), RATE), r"is it \(C, S\)"),
}


@pytest.mark.parametrize("kind", BAD)
def test_everything_else_is_one_input_error(kind: str, echoes: Echoes) -> None:
    source, words = BAD[kind]
    with pytest.raises(InputError, match=words):
        echoes.generate(source)


def test_media_in_the_place_of_the_other_are_refused(
    echoes: Echoes, smooth: Path, recording: Path
) -> None:
    samples = soundfile.read(recording)
    for use in (
        lambda: echoes.image_to_audio(samples),  # type: ignore[arg-type]
        lambda: echoes.image_to_audio(recording.read_bytes()),
        lambda: echoes.audio_to_image(read_image(smooth)),
        lambda: echoes.encode_audio(np.zeros((9, 2), np.float32)),
        lambda: echoes.generate(samples, duration=1),
    ):
        with pytest.raises(InputError):
            use()


def test_duration_makes_a_long_sound_in_memory(echoes: Echoes, smooth: Path) -> None:
    sound = echoes.generate(smooth, duration=0.5, seed=1)
    chunks = echoes.stream(smooth, duration=0.5, seed=1)
    np.testing.assert_array_equal(sound.samples, np.concatenate([*chunks]))
    assert sound.codes.shape == (echoes.manifest.tokens.audio.n_tokens,)
    with pytest.raises(InputError, match="3600"):
        echoes.generate(smooth, duration=3601)


def test_what_is_no_number_is_named(echoes: Echoes, smooth: Path, recording: Path) -> None:
    calls: dict[str, Callable[[Any], object]] = {
        "duration": lambda x: echoes.generate(smooth, duration=x),
        "start": lambda x: echoes.generate(recording, start=x),
        "stop": lambda x: echoes.inpaint(recording, start=0, stop=x),
        "keep": lambda x: echoes.vary(smooth, keep=x),
        "count": lambda x: echoes.generate_many([smooth], count=x),
        "rank": lambda x: echoes.generate_many([smooth], rank=x),
        "threads": lambda x: Echoes.load(threads=x),
    }
    for name, call in calls.items():
        with pytest.raises(InputError, match=rf"^{name} must be a number, got '1'"):
            call("1")


def test_one_source_in_the_place_of_several_is_refused(echoes: Echoes, smooth: Path) -> None:
    with pytest.raises(InputError, match="sources must be a list"):
        echoes.generate_many(str(smooth))


def test_an_unknown_keyword_is_named(echoes: Echoes, smooth: Path) -> None:
    with pytest.raises(InputError, match=r"'sed'; did you mean seed"):
        echoes.generate(smooth, sed=1)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="'xyzzy'"):
        echoes.cogenerate(xyzzy=None)  # type: ignore[call-arg]


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_a_sound_is_the_same_in_memory_as_in_a_file(
    format: str, echoes: Echoes, smooth: Path, tmp_path: Path
) -> None:
    sound = echoes.image_to_audio(smooth, seed=1, duration=0.5)
    data = sound.to_bytes(format)
    info = soundfile.info(io.BytesIO(data))
    assert (info.format.lower(), info.samplerate) == (format, RATE)
    if format != "ogg":  # whose streams have a number drawn at random
        assert sound.save(tmp_path / f"a.{format}").read_bytes() == data
    if format in ("wav", "flac"):
        file = io.BytesIO()
        sound.save(file, format)
        assert file.getvalue() == data
        for name, expected in ((f"b.{format}", data), ("b.part", sound.to_bytes())):
            with (tmp_path / name).open("wb") as named:
                sound.save(named)
            assert (tmp_path / name).read_bytes() == expected
    heard = soundfile.read(io.BytesIO(data))[0][: len(sound.samples)]
    assert np.corrcoef(heard, sound.samples[: len(heard)])[0, 1] > 0.5


def test_formats_that_do_not_exist_are_refused(
    echoes: Echoes, smooth: Path, tmp_path: Path
) -> None:
    sound = echoes.image_to_audio(smooth, seed=1)
    for use in (
        lambda: sound.to_bytes("aac"),
        lambda: sound.save(io.BytesIO(), "png"),
        lambda: sound.save(tmp_path / "a.wav", "flac"),  # type: ignore[call-overload]
    ):
        with pytest.raises(InputError):
            use()
    other_rate = Sound(**{**vars(sound), "sample_rate": 7000})
    with pytest.raises(InputError, match="7000 Hz"):
        other_rate.to_bytes("mp3")
