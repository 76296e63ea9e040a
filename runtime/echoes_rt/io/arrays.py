"""Pictures that are arrays, or another library's."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.io.colour import is_rgb_icc
from echoes_rt.io.image import StoredPicture
from echoes_rt.io.picture_decoder import RgbArray


class PilImage(Protocol):
    """What is used of ``PIL.Image.Image``, which the runtime does not need."""

    @property
    def mode(self) -> str: ...

    def convert(self, mode: str) -> Any: ...


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
        alpha = pixels[..., 3:] / np.float32(255)
        return np.asarray(np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)), dtype=np.uint8)
    return np.repeat(pixels, 3, axis=2) if channels == 1 else np.asarray(pixels, dtype=np.uint8)


def is_pil_image(source: object) -> bool:
    module = sys.modules.get("PIL.Image")  # who has such a picture has loaded it
    return module is not None and isinstance(source, module.Image)


def from_pil(picture: Any) -> RgbArray:
    """Upright (H, W, 3) sRGB, as of the file that the picture may come from.

    Raises:
        InputError: if its pixels have more than 8 bits, or cannot be read.
    """
    from PIL import ImageOps

    if picture.mode.startswith(("I", "F")):
        raise InputError(
            f"a PIL picture must have 8 bits a channel, got mode {picture.mode}; convert it to RGB"
        )
    try:
        upright = ImageOps.exif_transpose(picture)
        has_alpha = upright.mode in ("LA", "PA", "RGBA", "La", "RGBa") or (
            "transparency" in upright.info
        )
        pixels = np.asarray(upright.convert("RGBA" if has_alpha else "RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # as its decoders have it
        raise InputError(f"the PIL picture cannot be read: {error}") from error
    icc = picture.info.get("icc_profile")
    if pixels.size and icc and picture.mode in ("RGB", "RGBA", "P") and is_rgb_icc(icc):
        colours = StoredPicture(pixels=np.ascontiguousarray(pixels[..., :3]), icc=icc).to_srgb()
        pixels = np.concatenate([colours, pixels[..., 3:]], axis=2)
    return to_rgb_array(pixels)
