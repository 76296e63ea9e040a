"""ICC profiles: from a picture's own colours to sRGB and back, by LittleCMS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

RgbArray = NDArray[np.uint8]
Channels = Literal["L", "RGB", "CMYK"]

_SRGB = ImageCms.createProfile("sRGB")
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

# What is computed beside a picture is computed a few rows at a time, to keep it small in memory.
_STRIP_PIXELS = 1 << 18


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of a picture, some at a time."""
    rows = max(1, _STRIP_PIXELS // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


@lru_cache(maxsize=4)  # one picture's is asked for several times
def transform_to_srgb(icc: bytes, channels: Channels) -> ImageCms.ImageCmsTransform | None:
    """None if the profile is damaged, or one of other channels."""
    try:
        profile = ImageCms.getOpenProfile(BytesIO(icc))
        return ImageCms.buildTransform(profile, _SRGB, channels, "RGB", _INTENT, _FLAGS)
    except ImageCms.PyCMSError:
        return None


@lru_cache(maxsize=4)
def _transform_from_srgb(icc: bytes) -> ImageCms.ImageCmsTransform | None:
    try:
        profile = ImageCms.getOpenProfile(BytesIO(icc))
        return ImageCms.buildTransform(_SRGB, profile, "RGB", "RGB", _INTENT, _FLAGS)
    except ImageCms.PyCMSError:
        return None


def is_kept(icc: bytes) -> bool:
    """Whether it is a profile of RGB with a way to sRGB and one back."""
    return transform_to_srgb(icc, "RGB") is not None and _transform_from_srgb(icc) is not None


def to_srgb(rgb: RgbArray, icc: bytes) -> RgbArray:
    """(H, W, 3) in the colours of a profile that ``is_kept`` to sRGB."""
    transform = transform_to_srgb(icc, "RGB")
    return rgb if transform is None or _is_srgb(icc) else _applied(transform, rgb)


def from_srgb(rgb: RgbArray, icc: bytes) -> RgbArray:
    """(H, W, 3) to what shows the same colours in such a profile, or the nearest there are."""
    transform = _transform_from_srgb(icc)
    return rgb if transform is None or _is_srgb(icc) else _applied(transform, rgb)


@lru_cache(maxsize=4)
def _is_srgb(icc: bytes) -> bool:
    """Whether no colour changes by more than one level: rounding alone must change no picture."""
    transform = transform_to_srgb(icc, "RGB")
    levels = np.array([*range(0, 255, 15), 255], dtype=np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    if transform is None:
        return False
    change = _applied(transform, lattice).astype(np.int16) - lattice
    return bool(np.abs(change).max() <= 1)


def _applied(transform: ImageCms.ImageCmsTransform, rgb: RgbArray) -> RgbArray:
    made = np.empty_like(rgb)
    for rows in strips(*rgb.shape[:2]):
        made[rows] = np.asarray(transform.apply(Image.fromarray(rgb[rows])))
    return made
