"""Pictures that are arrays, or another library's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoes_rt.errors import InputError
from echoes_rt.io.colour import RgbArray
from echoes_rt.io.stored_picture import on_white, stored_picture


def to_rgb_array(picture: NDArray[Any]) -> RgbArray:
    """Any array that is a picture to (H, W, 3) RGB; transparency becomes white.

    Args:
        picture: (H, W) or (H, W, 1) grey, (H, W, 3) RGB or (H, W, 4) RGBA; uint8, floats in
            [0, 1], or bool.

    Raises:
        InputError: if it is none of these.
    """
    channels = 1 if picture.ndim == 2 else picture.shape[-1]
    is_number = picture.dtype in (np.uint8, np.bool_) or picture.dtype.kind == "f"
    if picture.ndim not in (2, 3) or channels not in (1, 3, 4) or not picture.size or not is_number:
        raise InputError(
            "a picture array must be (height, width) grey or (height, width, 3 or 4) RGB or RGBA, "
            f"as uint8 or floats in [0, 1], got {picture.shape} {picture.dtype}"
        )
    pixels = picture.reshape(*picture.shape[:2], channels)
    if picture.dtype.kind == "f":
        if not (pixels.min() >= 0 and pixels.max() <= 1):  # also refuses NaN
            raise InputError(
                f"a picture array of floats must lie in [0, 1], got [{pixels.min():g}, "
                f"{pixels.max():g}]; divide by 255, or give uint8"
            )
        pixels = np.rint(pixels * 255).astype(np.uint8)
    elif picture.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    if channels == 4:
        return on_white(pixels[..., :3], pixels[..., 3])
    return np.repeat(pixels, 3, axis=2) if channels == 1 else np.asarray(pixels, dtype=np.uint8)


def from_pil(picture: Image.Image) -> RgbArray:
    """Upright (H, W, 3) sRGB, as of the file that the picture may come from.

    Raises:
        InputError: if its pixels are of a kind that is not read, or cannot be.
    """
    try:
        picture.load()
        return stored_picture(picture, "the PIL picture").to_srgb()
    except (InputError, MemoryError):
        raise
    except Exception as error:  # as of files
        raise InputError(f"the PIL picture cannot be read: {error}") from error
