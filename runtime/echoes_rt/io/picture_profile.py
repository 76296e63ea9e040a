"""An ICC profile put into an encoded PNG, JPEG or WebP."""

import struct
import zlib
from collections.abc import Sequence

_JPEG_PART_BYTES = 65_000
_PNG_HEADER_END = 33
_WEBP_HAS_PROFILE = 0x20


def with_profile(data: bytes, icc: bytes, shape: Sequence[int]) -> bytes:
    """``data`` as OpenCV wrote it, and the profile where its format wants it.

    Args:
        data: of a picture without one.
        icc: the profile.
        shape: height and width first.
    """
    if data.startswith(b"\x89PNG"):
        chunk = b"iCCPICC profile\x00\x00" + zlib.compress(icc)
        packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return data[:_PNG_HEADER_END] + packed + data[_PNG_HEADER_END:]
    if data.startswith(b"\xff\xd8"):
        parts = [icc[i : i + _JPEG_PART_BYTES] for i in range(0, len(icc), _JPEG_PART_BYTES)]
        segments = [
            struct.pack(">HH12sBB", 0xFFE2, len(part) + 16, b"ICC_PROFILE", i + 1, len(parts))
            + part
            for i, part in enumerate(parts)
        ]
        (after,) = struct.unpack_from(">H", data, 4)  # JFIF's own segment comes first
        return data[: 4 + after] + b"".join(segments) + data[4 + after :]
    height, width = shape[:2]
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunks = [(b"VP8X", bytes([_WEBP_HAS_PROFILE, 0, 0, 0]) + canvas), (b"ICCP", icc)]
    packed = b"".join(
        kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for kind, body in chunks
    )
    body = b"WEBP" + packed + data[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body
