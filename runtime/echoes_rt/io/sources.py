"""What a verb can be given: pictures and sounds, as files or as arrays."""

from pathlib import Path
from typing import Literal

import numpy as np

from echoes_rt.decode.plan import FloatArray
from echoes_rt.errors import InputError
from echoes_rt.format.mel import MelSpec
from echoes_rt.io.audio import check_start, read_audio
from echoes_rt.io.av_file import VIDEO_SUFFIXES
from echoes_rt.io.image import READ_PICTURE_SUFFIXES, RgbArray, check_array, read_image
from echoes_rt.io.picture_headers import is_picture
from echoes_rt.io.sound_file import checked, is_sound_path

ImageLike = Path | str | RgbArray
"""A picture file, or an (H, W, 3) uint8 RGB array."""

AudioLike = Path | str | FloatArray
"""A sound file, or (S,) float samples at the bundle's sample rate."""

Medium = Literal["picture", "sound", "video"]


def is_sound(source: ImageLike | AudioLike) -> bool:
    """Whether it is meant as a sound: by its suffix, or by having one dimension.

    Of a video it is the sound that counts.
    """
    if isinstance(source, np.ndarray):
        return source.ndim == 1
    return medium_of(source) != "picture"


def medium_of(path: Path | str) -> Medium:
    """What a file is, by its suffix; by its content if the suffix is of no kind that is known.

    Raises:
        InputError: if it is of no kind that is read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in READ_PICTURE_SUFFIXES:
        return "picture"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if is_sound_path(path):
        return "sound"
    if _may_be_picture(path):
        return "picture"
    raise InputError(
        f"{path} is of no kind that is read; give a picture ({', '.join(READ_PICTURE_SUFFIXES)}), "
        f"a sound (.wav, .flac, .ogg, .mp3, .m4a, ...) or a video ({', '.join(VIDEO_SUFFIXES)})"
    )


def _may_be_picture(path: Path) -> bool:
    """By its content; also if there is none: what is wrong is said where it is read."""
    try:
        if not path.is_file():
            return True
        with path.open("rb") as file:
            return is_picture(file.read(1024))
    except OSError:
        return True


def rgb_of(image: ImageLike | AudioLike) -> RgbArray:
    return check_array(image) if isinstance(image, np.ndarray) else read_image(image)


def clip_of(audio: ImageLike | AudioLike, start: float, spec: MelSpec) -> FloatArray:
    """(S,) samples from ``start`` seconds on, at most a clip of ``spec``.

    Raises:
        InputError: if it is no sound, or ``start`` is not within it.
    """
    if not isinstance(audio, np.ndarray):
        return read_audio(audio, spec.sample_rate, start_s=start, n_samples=spec.n_samples)
    if audio.ndim != 1 or not audio.size or not np.issubdtype(audio.dtype, np.floating):
        raise InputError(
            f"sound samples must be (S,) floats in [-1, 1], got {audio.shape} {audio.dtype}; "
            "mix channels to one and divide 16-bit samples by 32768"
        )
    check_start(start, len(audio), spec.sample_rate)
    first = round(start * spec.sample_rate)
    samples = np.asarray(audio[first : first + spec.n_samples], dtype=np.float32)
    return checked(samples, "of the array")


def check_no_start(source: ImageLike | AudioLike, start: float) -> None:
    """Raises InputError if a picture is given with a second of a sound."""
    if start:
        name = "an array" if isinstance(source, np.ndarray) else source
        raise InputError(f"start is for sounds, and {name} is a picture; leave it out")
