"""GIF89a; of it the decoder gets the first picture alone."""

import struct

from echoes_rt.io.picture_headers.header import DamagedPictureError, PictureHeader, parts

_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B


def read_gif(data: bytes) -> PictureHeader:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _palette_bytes(flags)
    for _ in parts():
        kind = data[at]
        if kind == _EXTENSION:
            at = _after_blocks(data, at + 2)
        elif kind == _PICTURE:
            at = _after_blocks(data, at + 11 + _palette_bytes(data[at + 9]))
            break
        elif kind == _TRAILER:
            raise DamagedPictureError("has no picture in it")
        else:
            raise DamagedPictureError("is damaged: it has a block of an unknown kind")
    return PictureHeader(
        format="GIF",
        width=width,
        height=height,
        decoded_bytes=width * height * 12,  # the indices, the canvas and what is given out
        pixels=data[:at] + bytes([_TRAILER]),
    )


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    for _ in parts():
        length = data[at]
        at += 1 + length
        if length == 0:
            return at
    raise AssertionError
