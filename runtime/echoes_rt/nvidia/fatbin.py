"""For which GPUs a library holds machine code."""

import mmap
import struct
from pathlib import Path

_MAGIC = struct.pack("<IH", 0xBA55ED50, 1)  # of a container, and the version of its format
_MACHINE_CODE = 2  # the other kind, 1, is PTX, which any newer GPU can compile


def architectures(library: Path) -> tuple[set[int], set[int]]:
    """Compute capabilities times ten of the library's machine code, and of its PTX.

    Machine code of sm_80 runs on 80, 86, 87 and 89 as well: on all of its major version from its
    minor on. Both are empty where there is no code for a GPU.
    """
    found: tuple[set[int], set[int]] = (set(), set())
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(_MAGIC)
        while place >= 0:
            header, size = struct.unpack_from("<HQ", data, place + 6)
            entry, end = place + header, place + header + size
            while entry < min(end, len(data) - 32):
                kind, _, entry_header, entry_size = struct.unpack_from("<HHIQ", data, entry)
                (sm,) = struct.unpack_from("<I", data, entry + 28)
                found[kind != _MACHINE_CODE].add(sm)
                entry += entry_header + entry_size
            place = data.find(_MAGIC, max(end, place + 1))
    return found


def runs_on(sm: int, machine_code: set[int], ptx: set[int]) -> bool:
    """Whether a GPU of that compute capability times ten can run any of it."""
    is_native = any(code // 10 == sm // 10 and code <= sm for code in machine_code)
    return is_native or any(code <= sm for code in ptx)
