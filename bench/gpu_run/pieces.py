"""Files cut into slices that are compressed one by one, and put together again.

It needs nothing but Python: it runs on both machines.
"""

import lzma
import os
import re
import shutil
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

SLICE = 16 * 2**20
"""Bytes: every core of the other machine unpacks one."""


def sliced(source: Path, folder: Path) -> list[Path]:
    """The slices of a file, in ``folder``; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    size = source.stat().st_size
    count = -(-size // SLICE)
    tasks = [
        (source, at * SLICE, folder / f"{source.name}.{at:03d}-of-{count:03d}.xz")
        for at in range(count)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_packed, tasks))


def _packed(task: tuple[Path, int, Path]) -> Path:
    source, at, target = task
    if not target.exists():
        with source.open("rb") as file:
            file.seek(at)
            data = file.read(SLICE)
        partial = target.with_suffix(".partial")
        partial.write_bytes(lzma.compress(data, preset=6))
        partial.rename(target)
    return target


def distributed(pieces: Sequence[Path], out: Path, limits: Sequence[int]) -> list[Path]:
    """Copies the pieces, in their order, to OUT/1, OUT/2 and so on; gives these folders.

    Args:
        pieces: files.
        out: must not exist yet, or is replaced.
        limits: bytes that each folder may hold; the last counts for all that follow.

    Raises:
        ValueError: if one piece is larger than a folder may be.
    """
    shutil.rmtree(out, ignore_errors=True)
    call, left = 1, limits[0]
    for piece in pieces:
        size = piece.stat().st_size
        while size > left:
            if call >= len(limits) and size > limits[-1]:
                raise ValueError(f"{piece} has {size} bytes, a folder may hold {limits[-1]}")
            call, left = call + 1, limits[min(call, len(limits) - 1)]
        left -= size
        folder = out / str(call)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(piece, folder / piece.name)
    return sorted(out.iterdir(), key=lambda path: int(path.name))


def collected(folder: Path, home: Path) -> list[str]:
    """Keeps the pieces of one call in HOME/parts and unpacks each archive that is now whole.

    Returns:
        A line for each archive.
    """
    parts = home / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        shutil.copyfile(path, parts / path.name)
    archives: dict[str, list[Path]] = {}
    for path in parts.glob("*.tar.*-of-*.xz"):
        archives.setdefault(path.name.partition(".tar.")[0], []).append(path)
    return [_unpacked(name, sorted(found), home) for name, found in sorted(archives.items())]


def _unpacked(name: str, found: list[Path], home: Path) -> str:
    match = re.search(r"-of-(\d+)", found[0].name)
    assert match is not None
    count = int(match[1])
    if len(found) < count:
        return f"{name}: {len(found)} of {count} slices"
    target, partial = home / name, home / f"{name}.partial"
    if not target.exists():
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            whole = b"".join(pool.map(_decompressed, found))
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(fileobj=BytesIO(whole)) as tar:
            tar.extractall(partial, filter="data")
        partial.rename(target)
    return f"{name}: unpacked"


def _decompressed(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())
