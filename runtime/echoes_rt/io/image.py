"""From a picture file or array to what the image codec reads, and back to a file."""

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.lifetime import at_work
from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.io.av_file import said
from echoes_rt.io.colour import Profile, is_rgb_icc, profile_of_coding, profile_of_icc
from echoes_rt.io.output_file import check_place, check_suffix, replacing
from echoes_rt.io.picture_decoder import RgbArray as RgbArray
from echoes_rt.io.picture_decoder import decode, to_rgb
from echoes_rt.io.picture_headers import (
    DamagedPictureError,
    PictureHeader,
    UnreadablePictureError,
    read_header,
)
from echoes_rt.io.picture_profile import with_profile
from echoes_rt.io.source_file import MemoryFile, SourceFile, as_file

_logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float32]

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 29

MAX_DECODED_BYTES = 750_000_000
"""The file and what is held while it is decoded; with all else that is below 1 GB."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""What can be written."""

READ_PICTURE_SUFFIXES = (*PICTURE_SUFFIXES, ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
"""Usual endings of what can be read; it is known by its content."""

_FORMATS = "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC"


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
        profile = _known_profile(self.icc)
        return self.pixels if profile is None else profile.to_srgb(self.pixels)

    def patched(self, rgb: RgbArray, mask: NDArray[np.bool_]) -> RgbArray:
        """The pixels, with those of (H, W, 3) sRGB ``rgb`` where (H, W) ``mask`` is true."""
        profile = _known_profile(self.icc)
        pixels: RgbArray = self.pixels.copy()
        pixels[mask] = rgb[mask] if profile is None else profile.from_srgb(rgb[mask])
        return pixels


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
    path = as_file(path)
    data = _read_bytes(path)
    header = _checked_header(path, data)
    return _decoded(path, data, header, _profile(header))


def read_stored_image(path: Path | str | MemoryFile) -> StoredPicture:
    """As ``read_image``, in the file's own colours if it has an ICC profile that is understood."""
    path = as_file(path)
    data = _read_bytes(path)
    header = _checked_header(path, data)
    if header.icc is None or not is_rgb_icc(header.icc):
        return StoredPicture(pixels=_decoded(path, data, header, _profile(header)), icc=None)
    return StoredPicture(pixels=_decoded(path, data, header, None), icc=header.icc)


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


@at_work()
def encode_image(rgb: RgbArray, format: str = "png", icc: bytes | None = None) -> bytes:
    """What ``write_image`` would write to a file with the suffix ``format``."""
    suffix = check_suffix(Path(f"picture.{format}"), "a picture", PICTURE_SUFFIXES)
    if suffix == ".bmp" and icc is not None:
        rgb, icc = StoredPicture(pixels=rgb, icc=icc).to_srgb(), None
    try:
        is_done, encoded = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise InputError(f"cannot encode {format}: {said(error)}") from error
    if not is_done:
        raise InputError(f"OpenCV cannot encode {format}")
    data = encoded.tobytes()
    return data if icc is None else with_profile(data, icc, rgb.shape)


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
            raise InputError(f"{path} is a folder; give a {_FORMATS} file")
        if not path.exists():
            raise InputError(f"no picture at {path}; give a {_FORMATS} file")
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; give a {_FORMATS} file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(
                f"{path} has {size} bytes, at most {MAX_FILE_BYTES} are allowed; make it smaller"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"picture {path} cannot be read: {error.strerror}") from error
    if not data:
        raise InputError(f"picture {path} is empty; give a {_FORMATS} file")
    return data


def _checked_header(path: SourceFile, data: bytes) -> PictureHeader:
    try:
        header = read_header(data)
    except DamagedPictureError as error:
        raise InputError(f"picture {path} {error}; give a complete file") from error
    except UnreadablePictureError as error:
        raise InputError(f"picture {path} {error}") from error
    if header is None:
        raise InputError(f"{path} is not a picture that can be read; give a {_FORMATS} file")
    if header.width * header.height > MAX_PIXELS:
        raise InputError(
            f"picture {path} has {header.width} x {header.height} pixels, at most "
            f"{MAX_PIXELS // 1_000_000} million are allowed; make it smaller"
        )
    held = len(data) + header.decoded_bytes
    if held > MAX_DECODED_BYTES:
        raise InputError(
            f"picture {path} of {header.width} x {header.height} pixels would take "
            f"{held // 1_000_000} MB to decode, at most {MAX_DECODED_BYTES // 1_000_000} are "
            "allowed; make it smaller or of 8 bits"
        )
    if header.icc is not None and profile_of_icc(header.icc) is None:
        _logger.warning(
            "picture %s has a colour profile by tables or of another kind than RGB and grey, which "
            "is not applied; its colours may be off: convert it to sRGB",
            path,
        )
    return header


def _decoded(
    path: SourceFile, data: bytes, header: PictureHeader, profile: Profile | None
) -> RgbArray:
    pixels = decode(data, header)
    if pixels is None:
        raise InputError(f"picture {path} is damaged; give a complete {header.format} file")
    return to_rgb(pixels, header, profile)


def _profile(header: PictureHeader) -> Profile | None:
    if header.coding is not None:
        return profile_of_coding(header.coding)
    return _known_profile(header.icc)


def _known_profile(icc: bytes | None) -> Profile | None:
    """None if the colours are sRGB's, or are taken for them."""
    profile = None if icc is None else profile_of_icc(icc)
    return None if profile is None or profile.is_srgb else profile
