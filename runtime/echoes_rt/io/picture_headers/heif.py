"""AVIF and HEIC: pictures in the ISO base media file format (ISO/IEC 23008-12)."""

import struct
from collections.abc import Iterator

from echoes_rt.io.colour import coding_of_numbers
from echoes_rt.io.picture_headers.av1 import largest_frame
from echoes_rt.io.picture_headers.header import DamagedPictureError, PictureHeader, parts
from echoes_rt.io.picture_headers.hevc import largest_configured, largest_picture

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

# Measured: planes, frames of reference and the pixels of them, once more for what is beside them.
# Above 8 bits they count twice: a process that reads HEIC of 12 bits at the limit of 22 megapixels
# holds 382 MB, and 704 MB at 44 megapixels of which the container says that they have 8.
_PIXEL_BYTES, _PIXEL_BYTES_WITH_ALPHA = 17, 31

# Of pictures made of other items: where their size stands.
_CANVASES = {b"grid": 4, b"iovl": 10}

# From (quarter turns counterclockwise, axis of mirroring or None), in this order, to EXIF's number.
_ORIENTATIONS = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
}  # fmt: skip


def heif_format(data: bytes) -> str | None:
    """AVIF or HEIC by the brands that the file names, None if it is something else."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 1024)
    brands = {data[8:12]} | {data[at : at + 4] for at in range(16, end, 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


def read_heif(data: bytes) -> PictureHeader:
    name = heif_format(data) or "HEIF"
    meta = _child(data, 0, len(data), b"meta")
    inner = meta[0] + 4, meta[1]  # a full box: version and flags come first
    primary = _primary(data, *inner)
    properties = _properties(data, _child(data, *inner, b"iprp"), primary)
    size: tuple[int, int] | None = None
    turns, axis, depth, coding, icc = 0, None, 8, None, None
    for kind, payload in properties:
        if kind == b"ispe":
            size = struct.unpack_from(">II", payload, 4)
        elif kind == b"irot":
            turns = payload[0] & 3
        elif kind == b"imir":
            axis = payload[0] & 1
        elif kind == b"pixi":
            depth = max(payload[5 : 5 + payload[4]])
        elif kind == b"colr" and payload[:4] in (b"prof", b"rICC"):
            icc = payload[4:]
        elif kind == b"colr" and payload[:4] == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", payload, 4)
            coding = coding_of_numbers(primaries, transfer)
        elif kind == b"av1C":
            depth = (12 if payload[2] & 0x20 else 10) if payload[2] & 0x40 else 8
    if size is None:
        raise DamagedPictureError("does not say its size")
    pixels = max(size[0] * size[1], _largest(data, inner, name))
    has_alpha = b"auxC" in data[slice(*inner)]
    per_pixel = _PIXEL_BYTES_WITH_ALPHA if has_alpha else _PIXEL_BYTES
    decoded_bytes = pixels * per_pixel * (1 if depth == 8 else 2)
    return PictureHeader(
        format=name,
        width=size[0],
        height=size[1],
        decoded_bytes=decoded_bytes,
        # libheif turns what it decodes; EXIF's tag does not count in these files.
        orientation=_ORIENTATIONS[turns, axis] if name == "AVIF" else 1,
        white=(1 << depth) - 1 if name == "AVIF" else None,
        icc=icc,
        coding=coding if icc is None else None,
    )


def _largest(data: bytes, meta: tuple[int, int], name: str) -> int:
    """Pixels of the largest picture that a decoder makes, whatever the container says of it."""
    kinds = _kinds(data, meta)
    sizes = [0]
    if name == "HEIC":
        ipco = _child(data, *_child(data, *meta, b"iprp"), b"ipco")
        records = (data[a:b] for kind, a, b in _boxes(data, *ipco) if kind == b"hvcC")
        sizes += [largest_configured(record) for record in records]
    for item, content in _items(data, meta):
        for kind in kinds.get(item, ()):
            if kind in _CANVASES:
                code = ">II" if content[1] & 1 else ">HH"
                width, height = struct.unpack_from(code, content, _CANVASES[kind])
                sizes.append(width * height)
            elif kind == b"hvc1":
                sizes.append(largest_picture(content))
            elif kind == b"av01":
                sizes.append(largest_frame(content))
    return max(sizes)


def _kinds(data: bytes, meta: tuple[int, int]) -> dict[int, set[bytes]]:
    """What each item is, by all that is said of it."""
    at, end = _child(data, *meta, b"iinf")
    kinds: dict[int, set[bytes]] = {}
    for kind, start, _ in _boxes(data, at + (8 if data[at] else 6), end):
        if kind == b"infe" and data[start] >= 2:
            code = ">H2x4s" if data[start] == 2 else ">I2x4s"
            item, said = struct.unpack_from(code, data, start + 4)
            kinds.setdefault(item, set()).add(said)
    return kinds


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each box's content."""
    for _ in parts():
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = end if length == 0 else at + length
        if stop < start or stop > end:
            raise DamagedPictureError("is truncated")
        yield kind, start, stop
        at = stop


def _child(data: bytes, at: int, end: int, wanted: bytes) -> tuple[int, int]:
    """The first box of a kind; all of the top level are walked, which shows truncation."""
    found = [(start, stop) for kind, start, stop in _boxes(data, at, end) if kind == wanted]
    if not found:
        raise DamagedPictureError("has no picture in it")
    return found[0]


def _primary(data: bytes, at: int, end: int) -> int:
    start, _ = _child(data, at, end, b"pitm")
    code = ">H" if data[start] == 0 else ">I"
    (item,) = struct.unpack_from(code, data, start + 4)
    return int(item)


def _items(data: bytes, meta: tuple[int, int]) -> Iterator[tuple[int, bytes]]:
    """Number and content of each item; those in pieces are put together."""
    at, end = _child(data, *meta, b"iloc")
    inside = next((start for kind, start, _ in _boxes(data, *meta) if kind == b"idat"), 0)
    version, sizes, more = struct.unpack_from(">BxxxBB", data, at)
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    at += 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > end:
            raise DamagedPictureError("is truncated")
        return int.from_bytes(data[at - size : at], "big")

    walked, left = parts(), 2 * len(data)
    for _ in zip(range(number(4 if version == 2 else 2)), walked, strict=False):
        item = number(4 if version == 2 else 2)
        is_inside = bool(version and number(2) & 15 == 1)
        number(2)
        base = number(base_size) + (inside if is_inside else 0)
        pieces = []
        for _ in zip(range(number(2)), walked, strict=False):
            number(index_size)
            begin = base + number(offset_size)
            length = number(length_size) or max(0, len(data) - begin)
            left -= length
            if left < 0:
                raise DamagedPictureError("is damaged: its parts lie over each other")
            pieces.append(data[begin : begin + length])
        yield item, b"".join(pieces)


def _properties(data: bytes, iprp: tuple[int, int], item: int) -> list[tuple[bytes, bytes]]:
    """Kind and content of what belongs to an item."""
    ipco = _child(data, *iprp, b"ipco")
    known = [(kind, data[start:stop]) for kind, start, stop in _boxes(data, *ipco)]
    at, end = _child(data, *iprp, b"ipma")
    version, flags, count = struct.unpack_from(">BxxBI", data, at)
    at += 8
    for _ in zip(range(count), parts(), strict=False):
        entry, n = struct.unpack_from(">HB" if version == 0 else ">IB", data, at)
        at += 3 if version == 0 else 5
        width = 2 if flags & 1 else 1
        if at + n * width > end:
            raise DamagedPictureError("is truncated")
        if entry == item:
            numbers = [
                int.from_bytes(data[i : i + width], "big") & ((1 << (8 * width - 1)) - 1)
                for i in range(at, at + n * width, width)
            ]
            return [known[number - 1] for number in numbers if 0 < number <= len(known)]
        at += n * width
    raise DamagedPictureError("does not say its size")
