"""The size, orientation and completeness of a picture file, read without decoding it."""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# A JPEG marker is 0xff and a code; 0xff00 is a data byte, 0xffd0-d7 restart the entropy coder.
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_JPEG_SCAN_END = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_JPEG_START, _JPEG_END, _JPEG_SCAN, _JPEG_APP1 = 0xD8, 0xD9, 0xDA, 0xE1
# SOF0 to SOF15 without the tables DHT, JPG and DAC between them.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_EXIF_ORIENTATION = 0x0112


class DamagedPictureError(ValueError):
    """The file ends early or contradicts itself; the message is the end of a sentence."""


@dataclass(frozen=True, kw_only=True)
class PictureHeader:
    """Width and height are as stored, before ``orientation`` (1 to 8, as in EXIF) is applied."""

    format: str
    width: int
    height: int
    orientation: int = 1


def read_header(data: bytes) -> PictureHeader | None:
    """Walks the container to its end.

    Returns:
        None if ``data`` is not JPEG, PNG, WebP or BMP.

    Raises:
        DamagedPictureError: if the file is truncated or its structure is broken.
    """
    readers: list[tuple[bool, Callable[[bytes], PictureHeader]]] = [
        (data.startswith(b"\xff\xd8\xff"), _read_jpeg),
        (data.startswith(PNG_SIGNATURE), _read_png),
        (data.startswith(b"RIFF") and data[8:12] == b"WEBP", _read_webp),
        (data.startswith(b"BM"), _read_bmp),
    ]
    for is_match, read in readers:
        if is_match:
            try:
                return read(data)
            except (struct.error, IndexError) as error:
                raise DamagedPictureError("is truncated") from error
    return None


def _read_jpeg(data: bytes) -> PictureHeader:
    size: tuple[int, int] | None = None
    orientation = 1
    at = 2
    while True:
        marker = _JPEG_MARKER.search(data, at)
        if marker is None:
            raise DamagedPictureError("is truncated")
        code = marker[1][0]
        at = marker.end()
        if code == _JPEG_END:
            if size is None:
                raise DamagedPictureError("has no picture in it")
            return PictureHeader(
                format="JPEG", width=size[1], height=size[0], orientation=orientation
            )
        if code == 0x01 or 0xD0 <= code <= _JPEG_START:  # markers without a payload
            continue
        (length,) = struct.unpack_from(">H", data, at)
        payload = data[at + 2 : at + length]
        if len(payload) < length - 2 or length < 2:
            raise DamagedPictureError("is truncated")
        if code in _JPEG_FRAMES:
            size = struct.unpack_from(">HH", payload, 1)
        elif code == _JPEG_APP1 and payload.startswith(b"Exif\x00\x00"):
            orientation = exif_orientation(payload[6:])
        at += length
        if code == _JPEG_SCAN:
            end = _JPEG_SCAN_END.search(data, at)
            if end is None:
                raise DamagedPictureError("is truncated")
            at = end.start()


def _read_png(data: bytes) -> PictureHeader:
    width, height = struct.unpack_from(">II", data, 16)
    orientation = 1
    at = len(PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        payload_end = at + 8 + length
        (checksum,) = struct.unpack_from(">I", data, payload_end)
        if zlib.crc32(data[at + 4 : payload_end]) != checksum:
            raise DamagedPictureError("is damaged: a checksum in it is wrong")
        if kind == b"eXIf":
            orientation = exif_orientation(data[at + 8 : payload_end])
        if kind == b"IEND":
            return PictureHeader(format="PNG", width=width, height=height, orientation=orientation)
        at = payload_end + 4


def _read_webp(data: bytes) -> PictureHeader:
    (riff_size,) = struct.unpack_from("<I", data, 4)
    if len(data) < riff_size + 8:
        raise DamagedPictureError("is truncated")
    size: tuple[int, int] | None = None
    orientation = 1
    at = 12
    while at + 8 <= riff_size + 8:
        kind, length = struct.unpack_from("<4sI", data, at)
        payload = data[at + 8 : at + 8 + length]
        if size is None:
            size = _webp_size(kind, payload)
        if kind == b"EXIF":
            orientation = exif_orientation(payload.removeprefix(b"Exif\x00\x00"))
        at += 8 + length + length % 2
    if size is None:
        raise DamagedPictureError("has no picture in it")
    return PictureHeader(format="WebP", width=size[0], height=size[1], orientation=orientation)


def _webp_size(kind: bytes, payload: bytes) -> tuple[int, int] | None:
    if kind == b"VP8X":  # the canvas, two 24-bit numbers less one
        bits = int.from_bytes(payload[4:10], "little")
        return (bits & 0xFFFFFF) + 1, (bits >> 24) + 1
    if kind == b"VP8L":  # two 14-bit numbers less one after a signature byte
        (bits,) = struct.unpack_from("<I", payload, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":  # two 14-bit numbers after the frame tag and start code
        width, height = struct.unpack_from("<HH", payload, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _read_bmp(data: bytes) -> PictureHeader:
    pixels_at, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:  # OS/2's header
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
        height = abs(height)  # negative: stored from the top
    row_bytes = (width * depth + 31) // 32 * 4
    is_packed = compression in (1, 2)  # run-length codes: the size is not known beforehand
    if width < 1 or height < 1:
        raise DamagedPictureError(f"has the impossible size {width} x {height}")
    if len(data) < pixels_at + (1 if is_packed else row_bytes * height):
        raise DamagedPictureError("is truncated")
    return PictureHeader(format="BMP", width=width, height=height)


def exif_orientation(tiff: bytes) -> int:
    """The orientation tag of EXIF data, 1 (upright) if there is none that makes sense."""
    byte_order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if byte_order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{byte_order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{byte_order}H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{byte_order}HHIH", tiff, entry)
            if tag == _EXIF_ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1  # damaged metadata do not make the picture unusable
    return 1
