"""BMP, of Windows and OS/2."""

import struct

from echoes_rt.io.picture_headers.header import DamagedPictureError, PictureHeader

_OS2_HEADER, _WITH_ALPHA_MASK, _WITH_PROFILE = 12, 56, 124
_RUN_LENGTHS, _MASKS = (1, 2), (3, 6)
_EMBEDDED = 0x4D424544  # 'MBED'


def read_bmp(data: bytes) -> PictureHeader:
    pixels_at, header_size = struct.unpack_from("<II", data, 10)
    if header_size == _OS2_HEADER:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
        height = abs(height)  # negative: stored from the top
    row_bytes = (width * depth + 31) // 32 * 4
    is_packed = compression in _RUN_LENGTHS  # the size is not known beforehand
    if width < 1 or height < 1:
        raise DamagedPictureError(f"has the impossible size {width} x {height}")
    if len(data) < pixels_at + (1 if is_packed else row_bytes * height):
        raise DamagedPictureError("is truncated")
    # Without a mask for it the fourth byte is reserved: programs leave there what they like.
    has_alpha = (
        header_size >= _WITH_ALPHA_MASK
        and compression in _MASKS
        and struct.unpack_from("<I", data, 66)[0] != 0
    )
    return PictureHeader(
        format="BMP",
        width=width,
        height=height,
        decoded_bytes=2 * width * height * (4 if depth == 32 else 3),
        fourth="alpha" if has_alpha else "unused",
        icc=_profile(data) if header_size >= _WITH_PROFILE else None,
    )


def _profile(data: bytes) -> bytes | None:
    kind, at, size = (struct.unpack_from("<I", data, 14 + field)[0] for field in (56, 112, 116))
    return data[14 + at : 14 + at + size] if kind == _EMBEDDED else None
