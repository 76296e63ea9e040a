"""What a verb can be given: pictures and sounds, as files or as arrays."""

from pathlib import Path

import numpy as np

from echoes_rt.audio import check_start, is_sound_path, read_audio
from echoes_rt.decode.plan import FloatArray
from echoes_rt.errors import InputError
from echoes_rt.image import RgbArray, check_array, read_image
from echoes_rt.spec.mel import MelSpec

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
    if not np.isfinite(samples).all():
        raise InputError("sound samples must be finite, got some that are not numbers")
    return samples


def check_no_start(source: ImageLike | AudioLike, start: float) -> None:
    """Raises InputError if a picture is given with a second of a sound."""
    if start:
        name = "an array" if isinstance(source, np.ndarray) else source
        raise InputError(f"start is for sounds, and {name} is a picture; leave it out")
