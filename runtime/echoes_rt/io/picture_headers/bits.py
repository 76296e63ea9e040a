"""Numbers of some bits each."""

from echoes_rt.io.picture_headers.header import DamagedPictureError

_MAX_BYTES = 256
"""All that is read of a header lies before."""


class Bits:
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
