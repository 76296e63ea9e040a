"""What a verb can be given: pictures and sounds, as files or as arrays."""

from pathlib import Path

import numpy as np

from echoes_rt.audio import is_sound_path, read_audio
from echoes_rt.decode.reference import FloatArray
from echoes_rt.errors import InputError
from echoes_rt.image import RgbArray, check_array, read_image

ImageLike = Path | str | RgbArray
"""A picture file, or an (H, W, 3) uint8 RGB array."""

AudioLike = Path | str | FloatArray
"""A sound file, or (S,) float samples at the bundle's sample rate."""


def is_sound(source: ImageLike | AudioLike) -> bool:
    """Whether it is meant as a sound: by its suffix, or by having one dimension."""
    if isinstance(source, np.ndarray):
        return source.ndim == 1
    return is_sound_path(source)


def rgb_of(image: ImageLike | AudioLike) -> RgbArray:
    return check_array(image) if isinstance(image, np.ndarray) else read_image(image)


def clip_of(audio: ImageLike | AudioLike, start: float, sample_rate: int) -> FloatArray:
    """(S,) samples from ``start`` seconds on.

    Raises:
        InputError: if it is no sound, or ``start`` is not within it.
    """
    if isinstance(audio, np.ndarray):
        samples = np.asarray(audio, dtype=np.float32)
        if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
            raise InputError(f"sound samples must be (S,) finite floats, got shape {audio.shape}")
    else:
        samples = read_audio(audio, sample_rate)
    if not 0 <= start * sample_rate < len(samples):
        raise InputError(
            f"start must be within the {len(samples) / sample_rate:.2f} s of the sound, "
            f"got {start:g}"
        )
    return samples[round(start * sample_rate) :]


def check_no_start(source: ImageLike | AudioLike, start: float) -> None:
    """Raises InputError if a picture is given with a second of a sound."""
    if start:
        name = "an array" if isinstance(source, np.ndarray) else source
        raise InputError(f"start is for sounds, and {name} is a picture; leave it out")
