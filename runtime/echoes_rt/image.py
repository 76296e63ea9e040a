"""From a picture file or array to what the image codec reads."""

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.output_file import check_place, check_suffix, replacing
from echoes_rt.picture_file import DamagedPictureError, PictureHeader, read_header
from echoes_rt.spec.image import ImageSpec

RgbArray = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
Pixels = NDArray[np.integer[Any] | np.floating[Any]]

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 29

_SILENT = 0  # of OpenCV's log levels
_LOG_LEVEL = threading.Lock()  # it is the process's: two who set it would put back each other's

# Blending is done in floats, a few rows at a time to keep large pictures small in memory.
_STRIP_ROWS = 64

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

_FORMATS = "JPEG, PNG, WebP or BMP"


def load_image(image: Path | str | RgbArray, spec: ImageSpec) -> FloatArray:
    """Reads, crops, resizes and normalises a file or an (H, W, 3) uint8 RGB array.

    Returns:
        (1, 3, height, width), as ``spec`` says.

    Raises:
        InputError: if it is not a picture that can be read.
    """
    rgb = check_array(image) if isinstance(image, np.ndarray) else read_image(image)
    return normalise(resize(rgb, spec), spec)


def read_image(path: Path | str) -> RgbArray:
    """Decodes a file to upright (H, W, 3) RGB; 16 bits become 8, transparency becomes white.

    Raises:
        InputError: naming the file and what is wrong with it.
    """
    path = Path(path)
    data = _read_bytes(path)
    try:
        header = read_header(data)
    except DamagedPictureError as error:
        raise InputError(f"picture {path} {error}; give a complete file") from error
    if header is None:
        raise InputError(f"{path} is not a picture that can be read; give a {_FORMATS} file")
    if header.width * header.height > MAX_PIXELS:
        raise InputError(
            f"picture {path} has {header.width} x {header.height} pixels, at most "
            f"{MAX_PIXELS // 1_000_000} million are allowed; make it smaller"
        )
    pixels = _decode(data)
    if pixels is None:
        raise InputError(f"picture {path} is damaged; give a complete {header.format} file")
    return _upright(_to_rgb(pixels), header)


def check_image_path(path: Path | str) -> Path:
    """Says now, before any work, whether ``write_image`` would fail.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = Path(path)
    check_suffix(path, PICTURE_SUFFIXES)
    check_place(path)
    return path


def write_image(path: Path | str, rgb: RgbArray) -> Path:
    """Writes (H, W, 3) RGB as PNG, JPEG, WebP or BMP, by suffix; whole or not at all.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = check_image_path(path)
    try:
        with replacing(path) as partial:
            is_done, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            if not is_done:
                raise InputError(f"cannot write {path}: OpenCV cannot encode {path.suffix}")
            partial.write_bytes(data.tobytes())
    except (OSError, cv2.error) as error:
        raise InputError(f"cannot write {path}: {error}") from error
    return path


def check_array(image: NDArray[np.generic]) -> RgbArray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(
            f"a picture array must be (height, width, 3) uint8 RGB, got {image.shape} {image.dtype}"
        )
    return image.astype(np.uint8, copy=False)


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


def _read_bytes(path: Path) -> bytes:
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


def _decode(data: bytes) -> Pixels | None:
    with _LOG_LEVEL:
        # Left to itself OpenCV writes to stderr what we say in our own sentence.
        level = _set_log_level(_SILENT)
        try:
            # Unchanged: keeps alpha and 16 bits. Orientation, which it ignores, is ours to apply,
            # because OpenCV's versions differ in the formats for which they do it.
            return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
        finally:
            _set_log_level(level)


def _set_log_level(level: int) -> int:
    """Gives the level that was; OpenCV 5 moved the function."""
    setter = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    return int(setter(level))


def _to_rgb(pixels: Pixels) -> RgbArray:
    if pixels.dtype == np.uint16:
        # 65535 / 255 = 257
        pixels = np.asarray(cv2.convertScaleAbs(pixels, alpha=1 / 257))
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    if pixels.shape[2] == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    return _on_white(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA), dtype=np.uint8))


def _on_white(rgba: RgbArray) -> RgbArray:
    """White, because that is what a page shows behind a transparent picture."""
    rgb = np.empty((*rgba.shape[:2], 3), dtype=np.uint8)
    for top in range(0, len(rgba), _STRIP_ROWS):
        strip = rgba[top : top + _STRIP_ROWS].astype(np.float32)
        alpha = strip[..., 3:] / 255
        rgb[top : top + _STRIP_ROWS] = np.rint(strip[..., :3] * alpha + 255 * (1 - alpha))
    return rgb


def _upright(rgb: RgbArray, header: PictureHeader) -> RgbArray:
    """Undoes the camera's rotation and mirroring (EXIF 2.3, tag Orientation)."""
    orientation = header.orientation
    if orientation >= 5:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
