"""A decoded picture in its own colours."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from echoes_rt.errors import InputError
from echoes_rt.io.colour import (
    Channels,
    RgbArray,
    from_srgb,
    is_kept,
    strips,
    to_srgb,
    transform_to_srgb,
)

_logger = logging.getLogger(__name__)

_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")
_COLOURS = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True, kw_only=True)
class StoredPicture:
    """A picture in its file's own colours.

    Attributes:
        pixels: upright (H, W, 3) RGB.
        icc: the profile of its colours; None: sRGB.
    """

    pixels: RgbArray
    icc: bytes | None

    def to_srgb(self) -> RgbArray:
        return self.pixels if self.icc is None else to_srgb(self.pixels, self.icc)

    def patched(self, rgb: RgbArray, mask: NDArray[np.bool_]) -> RgbArray:
        """The pixels, with those of (H, W, 3) sRGB ``rgb`` where (H, W) ``mask`` is true."""
        pixels: RgbArray = self.pixels.copy()
        pixels[mask] = rgb[mask] if self.icc is None else from_srgb(rgb[mask][None], self.icc)[0]
        return pixels


def stored_picture(picture: Image.Image, name: str) -> StoredPicture:
    """Upright RGB of what Pillow has loaded; 16 bits become 8, transparency becomes white.

    A profile of RGB is kept, one of grey or CMYK is applied.

    Args:
        picture: loaded.
        name: for messages.

    Raises:
        InputError: if its pixels are of a kind that is not read.
    """
    if picture.mode not in (*_GREY, *_COLOURS):
        raise InputError(
            f"{name} has pixels of a kind that is not read ({picture.mode}); convert it to RGB of "
            "8 bits"
        )
    channels: Channels = "RGB"
    if picture.mode in (*_GREY, "CMYK"):
        channels = "CMYK" if picture.mode == "CMYK" else "L"
    icc, transform = picture.info.get("icc_profile"), None
    if icc and not (channels != "CMYK" and is_kept(icc)):
        transform = transform_to_srgb(icc, channels)
        if transform is None:
            _logger.warning(
                "%s has a colour profile that is damaged or of another kind than its pixels, and "
                "is not applied; its colours may be off: convert it to sRGB",
                name,
            )
        icc = None
    rgb = np.empty((picture.height, picture.width, 3), dtype=np.uint8)
    for rows in strips(picture.height, picture.width):
        strip, alpha = _without_alpha(picture.crop((0, rows.start, picture.width, rows.stop)))
        colours = strip.convert(channels)
        shown = colours.convert("RGB") if transform is None else transform.apply(colours)
        rgb[rows] = np.asarray(shown) if alpha is None else on_white(np.asarray(shown), alpha)
    return StoredPicture(pixels=_upright(rgb, _orientation(picture)), icc=icc or None)


def on_white(rgb: RgbArray, alpha: NDArray[Any]) -> RgbArray:
    """White, because that is what a page shows behind a transparent picture.

    Args:
        rgb: (H, W, 3).
        alpha: (H, W), uint8.
    """
    share = alpha[..., None] / np.float32(255)
    return np.asarray(np.rint(rgb * share + 255 * (1 - share)), dtype=np.uint8)


def _without_alpha(strip: Image.Image) -> tuple[Image.Image, NDArray[Any] | None]:
    """Of 8 bits a channel, and how much of each pixel is seen, None where all is."""
    if strip.mode.startswith("I;16"):
        deep, clear = np.asarray(strip), strip.info.get("transparency")
        grey = Image.fromarray(np.rint(deep / 257).astype(np.uint8))
        return grey, None if clear is None else (deep != clear) * np.uint8(255)
    if not strip.has_transparency_data:
        return strip, None
    strip = strip.convert("LA" if strip.mode in _GREY else "RGBA")
    return strip, np.asarray(strip.getchannel("A"))


def _orientation(picture: Image.Image) -> int:
    """By EXIF, 1 to 8; 1 if there is none that makes sense."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # of many types: damaged metadata do not make the picture unusable
        return 1


def _upright(rgb: RgbArray, orientation: int) -> RgbArray:
    """Undoes the camera's rotation and mirroring (EXIF 2.3, tag Orientation)."""
    if 5 <= orientation <= 8:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
