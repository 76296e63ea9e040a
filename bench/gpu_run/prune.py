"""Leaves a CUDA library the machine code of one architecture, and zeros for the rest."""

import mmap
import shutil
import struct
from pathlib import Path

MAGIC = struct.pack("<IH", 0xBA55ED50, 1)
"""Begins a container of machine code: a number that is always the same, and a version."""
ENTRY = 32
"""Bytes of an entry's header that are read."""


def prune(source: Path, target: Path, sm: int) -> int:
    """Copies a library and prunes the copy; gives how many bytes of code are left.

    Containers keep their addresses, so that nothing else in the library changes, and zeros compress
    to nothing. A container without code for ``sm`` (90: Hopper) stays as it is.
    """
    shutil.copyfile(source, target)
    kept = 0
    with target.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        place = data.find(MAGIC)
        while place >= 0:
            header, size = struct.unpack_from("<HQ", data, place + 6)
            first = place + header
            end = min(first + size, len(data))
            ours = b"".join(_entries(data, first, end, sm))
            if ours:
                struct.pack_into("<Q", data, place + 8, len(ours))
                data[first:end] = ours + bytes(end - first - len(ours))
                kept += len(ours)
            place = data.find(MAGIC, max(end, place + 1))
    return kept


def _entries(data: mmap.mmap, first: int, end: int, sm: int) -> list[bytes]:
    found = []
    while first + ENTRY <= end:
        header, size = struct.unpack_from("<IQ", data, first + 4)
        (architecture,) = struct.unpack_from("<I", data, first + 28)
        if architecture == sm:
            found.append(data[first : first + header + size])
        first += header + size
    return found
