"""Folders of bundles that appear whole or not at all."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_rt.spec.manifest import MANIFEST_NAME, DataFile

CARD_NAME = "README.md"


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name ``out`` if nothing goes wrong."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp's folders are private
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not overwrite:
        raise InputError(f"{out} exists already; pass --overwrite or another --out")
    # Only what this program makes is ever deleted.
    if not (out / MANIFEST_NAME).is_file():
        raise InputError(f"{out} exists and is not a bundle; give another --out")


def data_file(path: Path) -> DataFile:
    data = path.read_bytes()
    return DataFile(file=path.name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
