"""From the bytes of a picture file to upright RGB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.lifetime import at_work
from echoes_rt.errors import BackendError
from echoes_rt.install import install_line
from echoes_rt.io.colour import Profile
from echoes_rt.io.picture_headers import PictureHeader

RgbArray = NDArray[np.uint8]
Pixels = NDArray[Any]
"""uint8 or uint16."""

_SILENT = 0  # of OpenCV's log levels

# Blending is done in floats, a few rows at a time to keep large pictures small in memory.
_STRIP_PIXELS = 1 << 18

_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}

_SUFFIXES = {"AVIF": ".avif", "GIF": ".gif", "TIFF": ".tiff"}
"""What not every build of OpenCV reads, and of which what it reads is what it writes."""


class _Silence:
    """OpenCV's log level is the process's: the first who decodes lowers it, the last resets it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoding = 0
        self._level = _SILENT

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._decoding == 0:
                self._level = _set_log_level(_SILENT)
            self._decoding += 1
        try:
            yield
        finally:
            with self._lock:
                self._decoding -= 1
                if self._decoding == 0:
                    _set_log_level(self._level)


_silence = _Silence()


@at_work()
def decode(data: bytes, header: PictureHeader) -> Pixels | None:
    """As stored: (H, W) or (H, W, C), in OpenCV's order of channels; None if it cannot be decoded.

    Raises:
        BackendError: if this installation cannot decode the format.
    """
    if header.format == "HEIC":
        return _decode_heic(data)
    suffix = _SUFFIXES.get(header.format)
    if suffix is not None and not cv2.haveImageWriter(f"x{suffix}"):
        raise BackendError(
            f"this OpenCV ({cv2.__version__}) does not read {header.format}; "
            "pip install -U opencv-python-headless"
        )
    stored = data if header.pixels is None else header.pixels
    # Left to itself OpenCV writes to stderr what we say in our own sentence.
    with _silence():
        try:
            # Unchanged: keeps alpha and 16 bits. Orientation, which it ignores, is ours to apply,
            # because OpenCV's versions differ in the formats for which they do it.
            return cv2.imdecode(np.frombuffer(stored, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None


@at_work()
def to_rgb(pixels: Pixels, header: PictureHeader, profile: Profile | None) -> RgbArray:
    """Upright (H, W, 3), 16 bits become 8, transparency becomes white.

    Args:
        pixels: from ``decode``.
        header: of the same file.
        profile: of its colours, which then become sRGB; None: they stay as they are.
    """
    height, width = pixels.shape[:2]
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    is_clear = header.fourth != "unused" and not _is_all_clear(pixels, header)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = pixels[top : top + rows]
        rgb[top : top + rows] = _strip_to_rgb(strip, header, profile, is_clear=is_clear)
    return _upright(rgb, header.orientation)


def _strip_to_rgb(
    strip: Pixels, header: PictureHeader, profile: Profile | None, *, is_clear: bool
) -> RgbArray:
    white = header.white or np.iinfo(strip.dtype).max
    if strip.ndim == 2:
        strip = strip[..., None]
    alpha: NDArray[Any] | None = None
    if header.clear_grey is not None and strip.shape[2] == 1:
        alpha = (strip != header.clear_grey).astype(np.float32)
    elif strip.shape[2] == 4 and is_clear:
        alpha = strip[..., 3:].astype(np.float32) / white
    code = _TO_RGB[strip.shape[2]]
    colours: Pixels = np.asarray(cv2.cvtColor(strip, code))
    if alpha is not None and header.fourth == "premultiplied":
        straight = np.minimum(colours / np.maximum(alpha, 1e-6), white)
        colours = np.rint(straight).astype(strip.dtype)
    if profile is not None:
        rgb = profile.to_srgb(colours, white)
    elif white == 255:
        rgb = np.asarray(colours, dtype=np.uint8)
    else:
        rgb = np.rint(np.minimum(colours * (255 / white), 255)).astype(np.uint8)
    if alpha is None or alpha.min() == 1:
        return np.asarray(rgb)
    # White, because that is what a page shows behind a transparent picture.
    return np.asarray(np.rint(rgb * alpha + 255 * (1 - alpha)), dtype=np.uint8)


def _is_all_clear(pixels: Pixels, header: PictureHeader) -> bool:
    """Of BMP: a whole picture that is not to be seen was written by what does not know of alpha."""
    return header.format == "BMP" and pixels.ndim == 3 and not pixels[..., 3:].any()


def _upright(rgb: RgbArray, orientation: int) -> RgbArray:
    """Undoes the camera's rotation and mirroring (EXIF 2.3, tag Orientation)."""
    if orientation >= 5:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _decode_heic(data: bytes) -> Pixels | None:
    try:
        import pi_heif
    except ImportError as error:
        raise BackendError(f"HEIC needs libheif; {install_line('heic')}") from error
    try:
        picture = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
        pixels = np.asarray(picture)
    except (ValueError, RuntimeError, EOFError, OSError, SyntaxError):  # as the binding has it
        return None
    if pixels.ndim == 3:  # to OpenCV's order
        pixels = np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    return pixels


def _set_log_level(level: int) -> int:
    """Gives the level that was; OpenCV 5 moved the function."""
    setter = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    return int(setter(level))
