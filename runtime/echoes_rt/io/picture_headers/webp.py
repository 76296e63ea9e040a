"""WebP (RFC 9649)."""

import struct

from echoes_rt.io.picture_headers.header import (
    DamagedPictureError,
    PictureHeader,
    exif_orientation,
    parts,
)

_ANIMATION = 0x02


def read_webp(data: bytes) -> PictureHeader:
    (riff_size,) = struct.unpack_from("<I", data, 4)
    if len(data) < riff_size + 8:
        raise DamagedPictureError("is truncated")
    size: tuple[int, int] | None = None
    is_animated = False
    orientation, icc = 1, None
    at = 12
    for _ in parts():
        if at + 8 > riff_size + 8:
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        payload = data[at + 8 : at + 8 + length]
        if size is None:
            size = _size(kind, payload)
        if kind == b"VP8X":
            is_animated = bool(payload[0] & _ANIMATION)
        elif kind == b"EXIF":
            orientation = exif_orientation(payload.removeprefix(b"Exif\x00\x00"))
        elif kind == b"ICCP":
            icc = payload
        at += 8 + length + length % 2
    if size is None:
        raise DamagedPictureError("has no picture in it")
    # Animations are composed on canvases of their own.
    per_pixel = 12 if is_animated else 8
    return PictureHeader(
        format="WebP",
        width=size[0],
        height=size[1],
        decoded_bytes=size[0] * size[1] * per_pixel,
        orientation=orientation,
        icc=icc,
    )


def _size(kind: bytes, payload: bytes) -> tuple[int, int] | None:
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
