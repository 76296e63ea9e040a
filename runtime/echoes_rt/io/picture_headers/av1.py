"""How large the frames of an AV1 stream may be, which a container need not say rightly."""

from collections.abc import Iterator

from echoes_rt.io.picture_headers.header import Bits, DamagedPictureError, parts

_SEQUENCE_HEADER = 1


def largest_frame(stream: bytes) -> int:
    """Pixels of the largest frame that any sequence header allows (AV1 specification, 5.5)."""
    sizes = [_frame_pixels(payload) for kind, payload in _units(stream) if kind == _SEQUENCE_HEADER]
    return max(sizes, default=0)


def _units(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each unit (5.3)."""
    at = 0
    for _ in parts():
        if at >= len(stream):
            return
        head = stream[at]
        at += 2 if head & 4 else 1
        size = len(stream) - at
        if head & 2:
            size, at = _leb128(stream, at)
        yield head >> 3 & 15, stream[at : at + size]
        at += size


def _leb128(stream: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        byte = stream[at + i]
        value |= (byte & 127) << 7 * i
        if not byte & 128:
            return value, at + i + 1
    raise DamagedPictureError("is damaged: a length in it has no end")


def _frame_pixels(header: bytes) -> int:
    bits = Bits(header)
    bits.take(4)  # profile, still picture
    if bits.take(1):  # a reduced header
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return (bits.take(width_bits) + 1) * (bits.take(height_bits) + 1)


def _skip_operating_points(bits: Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.take_golomb()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # only high levels have a tier
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)
