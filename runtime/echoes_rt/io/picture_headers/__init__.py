"""Size, orientation, colour space and completeness of a picture file, read without decoding it."""

import struct
from collections.abc import Callable

from echoes_rt.io.picture_headers.bmp import read_bmp
from echoes_rt.io.picture_headers.gif import read_gif
from echoes_rt.io.picture_headers.header import (
    DamagedPictureError,
    PictureHeader,
    UnreadablePictureError,
)
from echoes_rt.io.picture_headers.heif import heif_format, read_heif
from echoes_rt.io.picture_headers.jpeg import read_jpeg
from echoes_rt.io.picture_headers.png import PNG_SIGNATURE, read_png
from echoes_rt.io.picture_headers.tiff import TIFF_SIGNATURES, read_tiff
from echoes_rt.io.picture_headers.webp import read_webp

__all__ = ["DamagedPictureError", "PictureHeader", "UnreadablePictureError", "read_header"]


def read_header(data: bytes) -> PictureHeader | None:
    """Walks the container to its end, or to the end of its first picture.

    Args:
        data: the file; its first kilobyte says whether it is a picture at all.

    Returns:
        None if ``data`` is none of the formats that are read.

    Raises:
        DamagedPictureError: if the file is truncated or its structure is broken.
        UnreadablePictureError: if it is of a kind that is not decoded.
    """
    read = _reader(data)
    if read is None:
        return None
    try:
        return read(data)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, (DamagedPictureError, UnreadablePictureError)):
            raise
        raise DamagedPictureError("is truncated") from error


def is_picture(data: bytes) -> bool:
    """Whether the beginning of a file is a picture's."""
    return _reader(data) is not None


def _reader(data: bytes) -> Callable[[bytes], PictureHeader] | None:
    readers: list[tuple[bool, Callable[[bytes], PictureHeader]]] = [
        (data.startswith(b"\xff\xd8\xff"), read_jpeg),
        (data.startswith(PNG_SIGNATURE), read_png),
        (data.startswith(b"RIFF") and data[8:12] == b"WEBP", read_webp),
        (data.startswith(b"BM"), read_bmp),
        (data.startswith((b"GIF87a", b"GIF89a")), read_gif),
        (data.startswith(TIFF_SIGNATURES), read_tiff),
        (heif_format(data) is not None, read_heif),
    ]
    return next((read for is_match, read in readers if is_match), None)
