"""How large the pictures of an HEVC stream may be, which a container need not say rightly."""

from collections.abc import Iterator

from echoes_rt.io.picture_headers.header import Bits, parts

_SEQUENCE_PARAMETERS = 33
_PROFILE_BITS, _LEVEL_BITS = 88, 8


def largest_picture(stream: bytes) -> int:
    """Pixels of the largest picture that an item's units allow, each after its length."""
    return max((_pixels(unit) for unit in _units(stream)), default=0)


def largest_configured(record: bytes) -> int:
    """The same of a decoder configuration record, ``hvcC`` (ISO/IEC 14496-15, 8.3.3.1)."""
    found, at = 0, 23
    for _ in range(record[22]):
        count = int.from_bytes(record[at + 1 : at + 3], "big")
        at += 3
        for _ in zip(range(count), parts(), strict=False):
            size = int.from_bytes(record[at : at + 2], "big")
            found = max(found, _pixels(record[at + 2 : at + 2 + size]))
            at += 2 + size
    return found


def _units(stream: bytes) -> Iterator[bytes]:
    at = 0
    for _ in parts():
        if at >= len(stream):
            return
        size = int.from_bytes(stream[at : at + 4], "big")
        yield stream[at + 4 : at + 4 + size]
        at += 4 + size


def _pixels(unit: bytes) -> int:
    """0 of a unit that says nothing of it (ITU-T H.265, 7.3.1.2 and 7.3.2.2)."""
    layer = (int.from_bytes(unit[:2], "big") >> 3) & 63
    if len(unit) < 2 or unit[0] >> 1 & 63 != _SEQUENCE_PARAMETERS or layer:
        return 0
    bits = Bits(unit[2 : 2 + 512].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    n_below = bits.take(3)
    bits.take(1 + _PROFILE_BITS + _LEVEL_BITS)
    has = [(bits.take(1), bits.take(1)) for _ in range(n_below)]
    if n_below:
        bits.take(2 * (8 - n_below))
    for has_profile, has_level in has:
        bits.take(_PROFILE_BITS * has_profile + _LEVEL_BITS * has_level)
    bits.take_golomb()
    if bits.take_golomb() == 3:  # colours in planes of their own, or not
        bits.take(1)
    return bits.take_golomb() * bits.take_golomb()
