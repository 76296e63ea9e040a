"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from echoes_rt.errors import InputError


def check_suffix(path: Path, allowed: Iterable[str]) -> str:
    """The lower-case suffix, or InputError if it is not one of ``allowed``."""
    suffix = path.suffix.lower()
    if suffix not in allowed:
        raise InputError(
            f"cannot write {path}: unknown suffix {path.suffix!r}; use {', '.join(allowed)}"
        )
    return suffix


def check_place(path: Path) -> None:
    """Says now, before any work, whether a file can be written there.

    Raises:
        InputError: if it cannot.
    """
    try:
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder; give a file name")
        if path.exists() and not path.is_file():
            raise InputError(f"cannot write {path}: it is not a regular file")
        if not path.parent.is_dir():
            raise InputError(
                f"cannot write {path}: there is no folder {path.parent}; make it first"
            )
        partial = _partial_path(path)
        partial.open("xb").close()
        partial.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def check_not_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raises InputError if ``path`` is one of ``inputs``, by this name or another, or a link."""
    for source in inputs:
        try:
            is_same = path.samefile(source)
        except OSError:
            continue  # one of them is not there
        if is_same:
            raise InputError(f"cannot write {path}: it is the input {source}; give another name")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path``, and moves what was written there when all is well."""
    partial = _partial_path(path)
    try:
        yield partial
        _sync(partial)
        partial.replace(path.resolve())
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Some file systems tell only now that the disk is full."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _partial_path(path: Path) -> Path:
    """Beside the target, so that renaming never crosses file systems."""
    return path.resolve().with_name(f".{secrets.token_hex(8)}.partial{path.suffix}")
