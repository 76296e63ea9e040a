"""TIFF 6.0 and BigTIFF: its first picture."""

import struct
from collections.abc import Sequence
from typing import Literal

from echoes_rt.io.picture_headers.header import (
    MAX_PARTS,
    DamagedPictureError,
    PictureHeader,
    UnreadablePictureError,
)

TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _OFFSETS, _ORIENTATION = 256, 257, 258, 262, 273, 274
_SAMPLES, _STRIP_ROWS, _BYTE_COUNTS = 277, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTE_COUNTS = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _ICC = 338, 339, 34675
_NUMBERS = {3: "H", 4: "I", 16: "Q"}
_CMYK = 5
# Of each photometric interpretation that is decoded as it is meant, the number of colours.
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, _CMYK: 4, 6: 3}
_PREMULTIPLIED, _STRAIGHT = 1, 2


class _Directory:
    """The first list of tags."""

    def __init__(self, data: bytes) -> None:
        order = "<" if data.startswith(b"II") else ">"
        is_big = data[2:4] in (b"+\x00", b"\x00+")
        self._data, self._order = data, order
        (at,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", data, 8 if is_big else 4)
        (count,) = struct.unpack_from(f"{order}{'Q' if is_big else 'H'}", data, at)
        if count > MAX_PARTS:
            raise DamagedPictureError("is damaged: its list of tags is too long")
        at += 8 if is_big else 2
        self._entries: dict[int, tuple[int, int, int]] = {}
        for entry in range(at, at + count * (20 if is_big else 12), 20 if is_big else 12):
            head = f"{order}HH{'Q' if is_big else 'I'}"
            tag, kind, n_values = struct.unpack_from(head, data, entry)
            place = entry + (12 if is_big else 8)
            if n_values * struct.calcsize(_NUMBERS.get(kind, "B")) > (8 if is_big else 4):
                (place,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", data, place)
            self._entries.setdefault(tag, (kind, n_values, place))

    def numbers(self, tag: int) -> Sequence[int]:
        kind, n_values, place = self._entries.get(tag, (0, 0, 0))
        if kind not in _NUMBERS or not n_values:
            return ()
        if n_values > MAX_PARTS:
            raise DamagedPictureError(f"has more than {MAX_PARTS} parts")
        return struct.unpack_from(f"{self._order}{n_values}{_NUMBERS[kind]}", self._data, place)

    def number(self, tag: int, default: int) -> int:
        return (*self.numbers(tag), default)[0]

    def text(self, tag: int) -> bytes | None:
        _, n_values, place = self._entries.get(tag, (0, 0, 0))
        return self._data[place : place + n_values] if n_values else None

    def place(self, tag: int) -> int:
        return self._entries[tag][2]


def read_tiff(data: bytes) -> PictureHeader:
    tags = _Directory(data)
    width, height = tags.number(_WIDTH, 0), tags.number(_HEIGHT, 0)
    if width < 1 or height < 1:
        raise DamagedPictureError(f"has the impossible size {width} x {height}")
    offsets = tags.numbers(_OFFSETS) or tags.numbers(_TILE_OFFSETS)
    sizes = tags.numbers(_BYTE_COUNTS) or tags.numbers(_TILE_BYTE_COUNTS)
    if not offsets:
        raise DamagedPictureError("has no picture in it")
    if max(map(sum, zip(offsets, sizes, strict=False)), default=max(offsets)) > len(data):
        raise DamagedPictureError("is truncated")
    depths, samples = set(tags.numbers(_BITS)) or {1}, tags.number(_SAMPLES, 1)
    depth = max(depths)
    fourth = _check_kind(tags, depths, samples)
    part_rows = min(tags.number(_STRIP_ROWS, height), height)
    part = tags.number(_TILE_WIDTH, width) * tags.number(_TILE_HEIGHT, part_rows)
    per_pixel = 4 if depth <= 8 else samples * 2
    orientation = tags.number(_ORIENTATION, 1)
    return PictureHeader(
        format="TIFF",
        width=width,
        height=height,
        decoded_bytes=(width * height + max(part, width * height)) * per_pixel,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        fourth=fourth,
        icc=tags.text(_ICC),
        # OpenCV's versions differ in whether they turn it.
        pixels=_unturned(data, tags) if orientation != 1 else None,
    )


def _check_kind(
    tags: _Directory, depths: set[int], samples: int
) -> Literal["alpha", "premultiplied", "unused"]:
    """What a fourth sample means; UnreadablePictureError for what OpenCV gives wrong colours of."""
    depth, photometric = max(depths), tags.number(_PHOTOMETRIC, 1)
    sample_format = tags.number(_SAMPLE_FORMAT, 1)
    colours = _COLOURS.get(photometric)
    extra = tags.numbers(_EXTRA_SAMPLES)
    is_read = (
        colours is not None
        and depths <= {1, 2, 4, 8, 16}
        and len(depths) == 1
        and sample_format == 1
        and samples - colours in ((0,) if colours != 3 else (0, 1))
        and not (photometric == _CMYK and depth != 8)
    )
    if not is_read:
        raise UnreadablePictureError(
            f"is a TIFF of a kind that is not read ({samples} samples of {depth} bits, photometric "
            f"interpretation {photometric}, sample format {sample_format}); make it a PNG"
        )
    if colours == 3 and samples == 4:
        if not extra:  # as OpenCV writes transparency
            return "alpha"
        if extra[0] not in (_PREMULTIPLIED, _STRAIGHT):
            return "unused"
        # libtiff multiplies what has 8 bits.
        return "premultiplied" if depth == 8 or extra[0] == _PREMULTIPLIED else "alpha"
    return "unused"


def _unturned(data: bytes, tags: _Directory) -> bytes:
    at = tags.place(_ORIENTATION)
    upright = struct.pack("<H" if data.startswith(b"II") else ">H", 1)
    return data[:at] + upright + data[at + 2 :]
