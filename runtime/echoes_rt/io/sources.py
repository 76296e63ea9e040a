"""What a verb can be given: pictures and sounds, as files, open or not, or as arrays."""

from os import PathLike
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoes_rt.decode.plan import FloatArray
from echoes_rt.errors import InputError
from echoes_rt.format.mel import MelSpec
from echoes_rt.io.arrays import from_pil, to_rgb_array
from echoes_rt.io.audio import Recording, check_start, read_audio, read_recording, to_mono
from echoes_rt.io.av_file import VIDEO_SUFFIXES
from echoes_rt.io.image import READ_PICTURE_SUFFIXES, RgbArray, read_image
from echoes_rt.io.picture_file import format_of
from echoes_rt.io.sound_file import (
    MAX_CHANNELS,
    MAX_SAMPLE_RATE,
    checked,
    is_sound_content,
    is_sound_path,
)
from echoes_rt.io.source_file import MemoryFile, SourceFile, read_stream

FileLike = str | PathLike[str] | bytes | IO[bytes] | MemoryFile
"""A file's name, its content, or a file that is open for reading bytes."""

ImageLike = FileLike | Image.Image | NDArray[Any]
"""A picture file, a PIL picture, or an array as ``to_rgb_array`` takes it."""

AudioLike = FileLike | NDArray[Any] | tuple[NDArray[Any], int]
"""A sound file, (S,) floats at the bundle's sample rate, or (samples, sample_rate) with (S,) or
(S, C) floats, all in [-1, 1]."""

Source = ImageLike | AudioLike | Recording
"""What ``given`` takes, and gives, too."""

Given = SourceFile | RgbArray | FloatArray | Recording

Medium = Literal["picture", "sound", "video"]


def given(source: Source) -> Given:
    """A source in one of few forms: a file, (H, W, 3) RGB, (S,) samples or a recording.

    Given such a form, it is returned as it is, so that an open file is read once.

    Raises:
        InputError: if it is nothing that can be used.
    """
    if isinstance(source, (MemoryFile, Recording)):
        return source
    if isinstance(source, (str, PathLike)):
        return Path(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return MemoryFile(data=bytes(source))
    if isinstance(source, np.ndarray):
        return _samples(source) if source.ndim == 1 else to_rgb_array(source)
    if isinstance(source, tuple):
        return _recording(source)
    if isinstance(source, Image.Image):
        return from_pil(source)
    if callable(getattr(source, "read", None)):
        return read_stream(source)
    raise InputError(
        "a source must be a file's name, bytes, an open file, a PIL picture, a numpy array or "
        f"(samples, sample_rate), got {type(source).__name__}"
    )


def is_sound(source: Given) -> bool:
    """Whether it is meant as a sound: by its suffix, content or number of dimensions.

    Of a video it is the sound that counts.
    """
    if isinstance(source, (Path, MemoryFile)):
        return medium_of(source) != "picture"
    return isinstance(source, Recording) or source.ndim == 1


def medium_of(file: SourceFile) -> Medium:
    """What a file is, by its suffix; by its content if the suffix is of no kind that is known.

    Raises:
        InputError: if it is of no kind that is read.
    """
    if isinstance(file, MemoryFile):
        if format_of(file.data[:1024]) is not None:
            return "picture"
        if is_sound_content(file):
            return "sound"
        raise InputError(f"{file} is neither a picture nor a sound of a kind that is read")
    suffix = file.suffix.lower()
    if suffix in READ_PICTURE_SUFFIXES:
        return "picture"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if is_sound_path(file):
        return "sound"
    if _may_be_picture(file):
        return "picture"
    raise InputError(
        f"{file} is of no kind that is read; give a picture ({', '.join(READ_PICTURE_SUFFIXES)}), "
        f"a sound (.wav, .flac, .ogg, .mp3, .m4a, ...) or a video ({', '.join(VIDEO_SUFFIXES)})"
    )


def _may_be_picture(path: Path) -> bool:
    """By its content; also if there is none: what is wrong is said where it is read."""
    try:
        if not path.is_file():
            return True
        with path.open("rb") as file:
            return format_of(file.read(1024)) is not None
    except OSError:
        return True


def rgb_of(image: Source) -> RgbArray:
    """(H, W, 3) sRGB.

    Raises:
        InputError: if it is no picture.
    """
    source = given(image)
    if isinstance(source, (Path, MemoryFile)):
        return read_image(source)
    if isinstance(source, Recording) or source.ndim != 3:
        raise InputError("a picture is needed, and samples of a sound were given")
    return np.asarray(source, dtype=np.uint8)


def clip_of(audio: Source, start: float, spec: MelSpec) -> FloatArray:
    """(S,) samples from ``start`` seconds on, at most a clip of ``spec``.

    Raises:
        InputError: if it is no sound, or ``start`` is not within it.
    """
    source = _samples(audio) if isinstance(audio, np.ndarray) else given(audio)
    if isinstance(source, (Path, MemoryFile)):
        return read_audio(source, spec.sample_rate, start_s=start, n_samples=spec.n_samples)
    mono = _mono(source, spec.sample_rate)
    check_start(start, len(mono), spec.sample_rate)
    first = round(start * spec.sample_rate)
    return mono[first : first + spec.n_samples]


def recording_of(audio: AudioLike | Recording, spec: MelSpec) -> Recording:
    """A whole sound as it is; ``spec`` has the sample rate of (S,) samples.

    Raises:
        InputError: if it is no sound.
    """
    source = given(audio)
    if isinstance(source, (Path, MemoryFile)):
        return read_recording(source)
    if isinstance(source, Recording):
        return source
    return _recording((_samples(source), spec.sample_rate))


def check_no_start(source: Given, start: float) -> None:
    """Raises InputError if a picture is given with a second of a sound."""
    if start:
        name = "an array" if isinstance(source, np.ndarray) else source
        raise InputError(f"start is for sounds, and {name} is a picture; leave it out")


def _mono(source: Recording | RgbArray | FloatArray, sample_rate: int) -> FloatArray:
    if isinstance(source, Recording):
        samples = source.samples.astype(np.float32, copy=False)
        return to_mono(samples, source.sample_rate, sample_rate)
    if source.ndim != 1:
        raise InputError("a sound is needed, and a picture was given")
    return np.asarray(source, dtype=np.float32)


def _samples(samples: NDArray[Any]) -> FloatArray:
    """(S,) float32, checked."""
    if samples.ndim != 1:
        raise InputError(
            f"sound samples must be (S,) floats in [-1, 1], got {samples.shape} {samples.dtype}; "
            "give (samples, sample_rate) if there are channels"
        )
    return np.asarray(_checked(samples), dtype=np.float32)


def _recording(pair: tuple[Any, ...]) -> Recording:
    """Of (samples, sample_rate), with samples of its own."""
    samples, rate = pair if len(pair) == 2 else (None, None)
    is_array = isinstance(samples, np.ndarray) and samples.ndim in (1, 2)
    is_rate = isinstance(rate, (int, np.integer)) and 1 <= rate <= MAX_SAMPLE_RATE
    if samples is None or rate is None or not (is_array and is_rate):
        raise InputError(
            "a sound as a tuple is (samples, sample_rate): an array of (S,) or (S, C) floats and a "
            f"whole number in [1, {MAX_SAMPLE_RATE}], got "
            f"({', '.join(type(part).__name__ for part in pair)})"
        )
    samples = _checked(samples).reshape(len(samples), -1)
    if samples.shape[1] > MAX_CHANNELS:
        raise InputError(
            f"sound samples must be (S, C) with at most {MAX_CHANNELS} channels, got "
            f"{samples.shape}; is it (C, S)?"
        )
    is_double = samples.dtype == np.float64
    return Recording(
        samples=samples.astype(np.float64 if is_double else np.float32),
        sample_rate=int(rate),
        depth="DOUBLE" if is_double else "FLOAT",
    )


def _checked(samples: NDArray[Any]) -> NDArray[Any]:
    if not samples.size or samples.dtype.kind != "f":
        raise InputError(
            f"sound samples must be floats in [-1, 1], got {samples.shape} {samples.dtype}; "
            "divide 16-bit samples by 32768"
        )
    return checked(samples, "of the array")
