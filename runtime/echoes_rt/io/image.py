"""From a picture file or array to what the image codec reads, and back to a file."""

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoes_rt.backends.lifetime import at_work
from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.io.av_file import said
from echoes_rt.io.colour import RgbArray as RgbArray
from echoes_rt.io.output_file import check_place, check_suffix, replacing
from echoes_rt.io.picture_file import FORMATS, decoded
from echoes_rt.io.source_file import MemoryFile, SourceFile, as_file
from echoes_rt.io.stored_picture import StoredPicture, stored_picture

FloatArray = NDArray[np.float32]

MAX_FILE_BYTES = 1 << 29

_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WebP", {"lossless": True}),
    ".bmp": ("BMP", {}),
}

PICTURE_SUFFIXES = tuple(_WRITERS)
"""What can be written."""

READ_PICTURE_SUFFIXES = (*PICTURE_SUFFIXES, ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
"""Usual endings of what can be read; it is known by its content."""


def load_image(path: Path | str, spec: ImageSpec) -> FloatArray:
    """``read_image``, cropped, resized and normalised to (1, 3, height, width)."""
    return to_input(read_image(path), spec)


def to_input(rgb: RgbArray, spec: ImageSpec) -> FloatArray:
    """(H, W, 3) RGB to what the image encoder reads: (1, 3, height, width)."""
    return normalise(resize(rgb, spec), spec)


def read_image(path: Path | str | MemoryFile) -> RgbArray:
    """Decodes a file to upright (H, W, 3) sRGB; 16 bits become 8, transparency becomes white.

    Raises:
        InputError: naming the file and what is wrong with it.
        BackendError: if this installation lacks the format's decoder.
    """
    return read_stored_image(path).to_srgb()


def read_stored_image(path: Path | str | MemoryFile) -> StoredPicture:
    """As ``read_image``, in the file's own colours if it has an ICC profile of RGB."""
    path = as_file(path)
    return stored_picture(decoded(path, _read_bytes(path)), f"picture {path}")


def check_image_path(path: Path | str) -> Path:
    """Says now, before any work, whether ``write_image`` would fail.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = Path(path)
    check_suffix(path, "a picture", PICTURE_SUFFIXES)
    check_place(path)
    return path


def write_image(path: Path | str, rgb: RgbArray, icc: bytes | None = None) -> Path:
    """Writes (H, W, 3) RGB as PNG, JPEG, WebP or BMP, by suffix; whole or not at all.

    Args:
        path: ends in one of PICTURE_SUFFIXES.
        rgb: in the colours of ``icc``.
        icc: an ICC profile, which the file keeps, but for BMP: its pixels become sRGB.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = check_image_path(path)
    data = encode_image(rgb, path.suffix.lower().lstrip("."), icc)
    try:
        with replacing(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {said(error)}") from error
    return path


def encode_image(rgb: RgbArray, format: str = "png", icc: bytes | None = None) -> bytes:
    """What ``write_image`` would write to a file with the suffix ``format``."""
    suffix = check_suffix(Path(f"picture.{format}"), "a picture", PICTURE_SUFFIXES)
    if suffix == ".bmp" and icc is not None:
        rgb, icc = StoredPicture(pixels=rgb, icc=icc).to_srgb(), None
    name, options = _WRITERS[suffix]
    file = BytesIO()
    try:
        Image.fromarray(rgb).save(file, name, icc_profile=icc, **options)
    except (OSError, ValueError) as error:  # of a size that the format does not hold
        raise InputError(f"cannot encode {format}: {error}") from error
    return file.getvalue()


def crop_box(
    rgb: RgbArray, spec: ImageSpec, centre: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the largest crop with the spec's aspect ratio.

    It lies as near to ``centre`` (row, column) as the picture allows; by default in its middle.
    """
    height, width = rgb.shape[:2]
    crop_height = max(1, min(height, round(width * spec.height / spec.width)))
    crop_width = max(1, min(width, round(height * spec.width / spec.height)))
    if centre is None:
        return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width
    top = max(0, min(centre[0] - crop_height // 2, height - crop_height))
    left = max(0, min(centre[1] - crop_width // 2, width - crop_width))
    return top, left, crop_height, crop_width


@at_work()
def resize(rgb: RgbArray, spec: ImageSpec) -> RgbArray:
    """The largest centred crop with the spec's aspect ratio, resized to (height, width, 3)."""
    top, left, crop_height, crop_width = crop_box(rgb, spec)
    crop = np.ascontiguousarray(rgb[top : top + crop_height, left : left + crop_width])
    # Area averaging is only defined for shrinking.
    is_shrinking = crop_height > spec.height
    interpolation = cv2.INTER_AREA if is_shrinking else cv2.INTER_LINEAR
    resized = cv2.resize(crop, (spec.width, spec.height), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)


def normalise(rgb: RgbArray, spec: ImageSpec) -> FloatArray:
    """(H, W, 3) uint8 to (1, 3, H, W) float32, ``(x / 255 - mean) / std``."""
    scaled = rgb.astype(np.float32) / np.float32(255)
    normal = (scaled - np.array(spec.mean, dtype=np.float32)) / np.array(spec.std, dtype=np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def to_pixels(normal: FloatArray, spec: ImageSpec) -> RgbArray:
    """The inverse of ``normalise``: (B, 3, H, W) float32 to (B, H, W, 3) uint8."""
    unit = normal.transpose(0, 2, 3, 1) * np.array(spec.std, dtype=np.float32)
    unit += np.array(spec.mean, dtype=np.float32)
    return np.asarray(np.rint(np.clip(unit, 0, 1) * 255), dtype=np.uint8)


def _read_bytes(path: SourceFile) -> bytes:
    if isinstance(path, MemoryFile):
        return path.data
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give a {FORMATS} file")
        if not path.exists():
            raise InputError(f"no picture at {path}; give a {FORMATS} file")
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; give a {FORMATS} file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(
                f"{path} has {size} bytes, at most {MAX_FILE_BYTES} are allowed; make it smaller"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"picture {path} cannot be read: {error.strerror}") from error
    if not data:
        raise InputError(f"picture {path} is empty; give a {FORMATS} file")
    return data
