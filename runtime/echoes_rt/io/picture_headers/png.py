"""PNG (W3C, third edition); of it the decoder gets the pixels alone."""

import struct
import zlib

from echoes_rt.io.colour import SRGB, Coding, coding_of_gamma, coding_of_numbers
from echoes_rt.io.picture_headers.header import (
    DamagedPictureError,
    PictureHeader,
    UnreadablePictureError,
    exif_orientation,
    parts,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GREY, _GREY_ALPHA = 0, 4
_CHANNELS = {_GREY: 1, 2: 3, 3: 3, _GREY_ALPHA: 4, 6: 4}  # as OpenCV gives them
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MAX_PROFILE_BYTES = 1 << 22


def read_png(data: bytes) -> PictureHeader:
    if data[12:16] == b"CgBI":
        raise UnreadablePictureError(
            "is a PNG in Apple's own form, CgBI; convert it by "
            "xcrun pngcrush -revert-iphone-optimizations"
        )
    if data[8:16] != b"\x00\x00\x00\x0dIHDR" and len(data) >= 16:
        raise DamagedPictureError("is damaged: it does not begin with its size")
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    chunks: dict[bytes, bytes] = {}
    kept = [PNG_SIGNATURE]
    at = len(PNG_SIGNATURE)
    for _ in parts():
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(memoryview(data)[at + 4 : end]) != checksum:
            raise DamagedPictureError("is damaged: a checksum in it is wrong")
        if name in _PIXEL_CHUNKS:
            kept.append(data[at : end + 4])
        if name != b"IDAT":
            chunks.setdefault(name, data[at + 8 : end])
        at = end + 4
        if name == b"IEND":
            break
    has_key = b"tRNS" in chunks
    channels = 4 if has_key and kind != _GREY else _CHANNELS.get(kind, 4)
    return PictureHeader(
        format="PNG",
        width=width,
        height=height,
        decoded_bytes=2 * width * height * channels * (2 if depth == 16 else 1),
        orientation=exif_orientation(chunks.get(b"eXIf", b"")),
        clear_grey=_clear_grey(chunks[b"tRNS"], depth) if has_key and kind == _GREY else None,
        icc=None if b"cICP" in chunks else _profile(chunks),
        coding=_coding(chunks),
        # Frames of an animation would be held beside it, and old decoders unpack text.
        pixels=b"".join(kept) if chunks.keys() - _PIXEL_CHUNKS else None,
    )


def _clear_grey(payload: bytes, depth: int) -> int:
    """As decoded: grey of fewer than 8 bits is spread over all 8."""
    value = int.from_bytes(payload[:2], "big") & ((1 << depth) - 1)
    return value * 255 // ((1 << depth) - 1) if depth < 8 else value


def _profile(chunks: dict[bytes, bytes]) -> bytes | None:
    _, _, packed = chunks.get(b"iCCP", b"").partition(b"\x00")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if unpacker.eof else None


def _coding(chunks: dict[bytes, bytes]) -> Coding | None:
    """In the order of precedence that the standard gives; a profile goes before gamma."""
    if len(chunks.get(b"cICP", b"")) == 4:
        return coding_of_numbers(chunks[b"cICP"][0], chunks[b"cICP"][1])
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return None
    if len(chunks.get(b"gAMA", b"")) != 4:
        return None
    (gamma,) = struct.unpack(">I", chunks[b"gAMA"])
    points = SRGB.points
    if len(chunks.get(b"cHRM", b"")) == 32:
        white_x, white_y, *others = (n / 100_000 for n in struct.unpack(">8I", chunks[b"cHRM"]))
        points = (*others, white_x, white_y)
    return coding_of_gamma(gamma / 100_000, points)
