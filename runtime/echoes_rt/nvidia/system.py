"""What files and tools say of the driver, of a Jetson, of clocks, and of a library's GPUs."""

import mmap
import re
import shutil
import struct
import subprocess
from pathlib import Path

_PROC_DRIVER = Path("/proc/driver/nvidia/version")
_TEGRA_RELEASE = Path("/etc/nv_tegra_release")
_MODEL = Path("/proc/device-tree/model")
_DEVFREQ = Path("/sys/class/devfreq")

# Of Jetson Linux, the newest that the release is not older than.
_JETPACKS = {
    (35, 1): "5",
    (36, 3): "6.0",
    (36, 4): "6.1",
    (36, 4, 3): "6.2",
    (36, 4, 4): "6.2.1",
    (38, 2): "7.0",
    (38, 4): "7.1",
    (39, 2): "7.2",
}


def driver_release() -> str | None:
    """Of the driver, such as 580.95.05; None where there is none, or as on Windows no such file."""
    match = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", _text(_PROC_DRIVER))
    return match[1] if match else None


def l4t_release() -> str | None:
    """Of Jetson Linux, such as 36.4.3; None where this is no Jetson."""
    match = re.search(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)?)", _text(_TEGRA_RELEASE))
    return f"{match[1]}.{match[2]}" if match else None


def jetpack_release(l4t: str) -> str | None:
    """The JetPack of a release of Jetson Linux; None if it is older than those that we know."""
    release = tuple(int(part) for part in l4t.split("."))
    known = [number for number in _JETPACKS if number <= release]
    return _JETPACKS[max(known)] if known else None


def board_name() -> str | None:
    """Such as NVIDIA Jetson Orin Nano Developer Kit; device trees end their strings with a NUL."""
    return _text(_MODEL).strip("\x00\n ") or None


def power_mode() -> str | None:
    """Of a Jetson by nvpmodel, such as MAXN; of a graphics card its limit in watts."""
    said = _say("nvpmodel", "-q")
    match = re.search(r"NV Power Mode: *(\S+)", said)
    if match:
        return match[1]
    return _say("nvidia-smi", "--query-gpu=power.limit", "--format=csv,noheader") or None


def clocks_mhz() -> tuple[float, float] | None:
    """The GPU's clock now, and its highest."""
    for folder in sorted(_DEVFREQ.glob("*gpu*")) + sorted(_DEVFREQ.glob("*gv11b*")):
        now, most = (_text(folder / name).strip() for name in ("cur_freq", "max_freq"))
        if now.isdigit() and most.isdigit():
            return int(now) / 1e6, int(most) / 1e6
    query = "--query-gpu=clocks.sm,clocks.max.sm"
    said = re.findall(r"\d+", _say("nvidia-smi", query, "--format=csv,noheader,nounits"))
    return (float(said[0]), float(said[1])) if len(said) >= 2 else None


def _say(*command: str) -> str:
    """What a tool prints; nothing if there is no such tool, or it fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


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
