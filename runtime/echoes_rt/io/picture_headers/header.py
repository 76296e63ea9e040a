"""What is known of a picture file before it is decoded."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from echoes_rt.io.colour import Coding

MAX_PARTS = 200_000
"""Segments, chunks or blocks of a file; a hundred million pixels in chunks of 8 kB are fewer."""


class DamagedPictureError(ValueError):
    """The file ends early or contradicts itself; the message is the end of a sentence."""


class UnreadablePictureError(ValueError):
    """The file is of a kind that is not decoded; the message is the end of a sentence."""


@dataclass(frozen=True, kw_only=True)
class PictureHeader:
    """How to read what the decoder gives.

    Attributes:
        format: its name.
        width: as stored, before ``orientation`` is applied.
        height: the same.
        decoded_bytes: the most that is held while it is decoded: the decoder's own, its result, and
            the copy of it that OpenCV gives out when the decoder is gone.
        orientation: 1 to 8, as in EXIF.
        white: the largest sample value, where it is not that of the samples' type.
        fourth: what a fourth channel means, if the decoder gives one.
        clear_grey: of a picture with one channel, the decoded value that is transparent.
        icc: an ICC profile.
        coding: primaries and transfer curve, where there is no profile.
        pixels: what is given to the decoder instead of the whole file.
    """

    format: str
    width: int
    height: int
    decoded_bytes: int
    orientation: int = 1
    white: int | None = None
    fourth: Literal["alpha", "premultiplied", "unused"] = "alpha"
    clear_grey: int | None = None
    icc: bytes | None = None
    coding: Coding | None = None
    pixels: bytes | None = None


def parts() -> Iterator[None]:
    """Bounds a walk through a file: small parts without end would take minutes."""
    yield from (None for _ in range(MAX_PARTS))
    raise DamagedPictureError(f"has more than {MAX_PARTS} parts")


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


_EXIF_ORIENTATION = 0x0112


_MAX_BYTES = 256
"""All that is read of a header lies before."""


class Bits:
    """Numbers of some bits each."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:_MAX_BYTES], "big")
        self._left = 8 * min(len(data), _MAX_BYTES)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise DamagedPictureError("is truncated")
        return self._value >> self._left & ((1 << count) - 1)

    def take_golomb(self) -> int:
        """By a code whose zeros in front say how long it is (Exp-Golomb)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
