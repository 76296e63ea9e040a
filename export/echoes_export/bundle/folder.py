"""Folders of bundles that appear whole or not at all."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_rt.format.manifest import MANIFEST_NAME, DataFile


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name ``out`` if nothing goes wrong.

    Raises:
        InputError: if it cannot be made or cannot get that name; what was there before stays.
    """
    out = out.resolve()  # a link to a bundle stays one
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp's folders are private
        _replace(out, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def changing(bundle: Bundle) -> Iterator[Path]:
    """A copy of a bundle's folder to change, which takes its place if nothing goes wrong.

    Raises:
        InputError: if it is a zip, or cannot be written.
    """
    if bundle.folder != bundle.source:
        raise InputError(f"{bundle.source} is a zip; unpack it and give the folder")
    with appearing(bundle.source) as partial:
        shutil.copytree(bundle.source, partial, dirs_exist_ok=True)
        yield partial


def _replace(out: Path, partial: Path) -> None:
    """By renaming alone: at every moment one of the two is whole."""
    old = partial.with_name(f"{partial.name}.old")
    try:
        if out.exists():
            out.rename(old)
        try:
            partial.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        kept = f"; what was there is now at {old}" if old.exists() else ""
        raise InputError(f"{out} cannot be written: {error.strerror}{kept}") from error
    shutil.rmtree(old, ignore_errors=True)


def check_free(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not overwrite:
        raise InputError(f"{out} exists already; pass --overwrite or another --out")
    # Only what this program makes is ever deleted.
    if not (out / MANIFEST_NAME).is_file():
        raise InputError(f"{out} exists and is not a bundle; give another --out")


def saved_graph(path: Path, graph: onnx.ModelProto) -> DataFile:
    """Writes a graph beside its weights and checks it."""
    onnx.save(graph, path)
    onnx.checker.check_model(path, full_check=True)
    return data_file(path)


def data_file(path: Path) -> DataFile:
    data = path.read_bytes()
    return DataFile(file=path.name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
