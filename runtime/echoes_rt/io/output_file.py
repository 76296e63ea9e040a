"""Files that appear whole or not at all."""

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_rt.io.leftovers import hold, remove_abandoned

_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial(\.\w+)?")

# What renaming says of a mount point, of another's file in a sticky folder, of another file system.
_NOT_REPLACED = (errno.EBUSY, errno.EPERM, errno.EACCES, errno.EXDEV)


def check_suffix(path: Path, what: str, allowed: Iterable[str]) -> str:
    """The lower-case suffix, or InputError if ``what`` is written cannot have it."""
    suffix = path.suffix.lower()
    if suffix not in allowed:
        raise InputError(f"cannot write {path}: {what} ends in {', '.join(allowed)}")
    return suffix


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name.

    Raises:
        InputError: if nothing can have that name.
    """
    try:
        return path.is_dir()
    except OSError as error:
        raise InputError(f"cannot write {path}: {_reason(error)}") from error


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
        with _partial(path.resolve()):
            pass
        if not _is_replaceable(path.resolve()) and not os.access(path, os.W_OK):
            raise InputError(
                f"cannot write {path}: it can neither be replaced nor written to; give another name"
            )
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise InputError(f"cannot write {path}: {_reason(error)}") from error


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
    """Gives a temporary name beside ``path``, and moves what was written there when all is well.

    A file that is replaced leaves its permissions to the new one. What cannot be replaced, such as
    a mount point, is written to when the new file is complete.
    """
    target = path.resolve()
    with _partial(target) as (partial, descriptor):
        beside = partial.parent.glob(".*")
        remove_abandoned(file for file in beside if _PARTIAL.fullmatch(file.name))
        yield partial
        _copy_permissions(target, partial)
        if os.name == "posix":
            os.fsync(descriptor)  # else a power cut may leave the new name with no content
        try:
            partial.replace(target)
        except OSError as error:
            if error.errno not in _NOT_REPLACED or not target.exists():
                raise
            with partial.open("rb") as made, target.open("r+b") as file:
                shutil.copyfileobj(made, file)
                file.truncate()
        _sync_folder(target.parent)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """``replacing``, in a folder that is made if there is none.

    Raises:
        InputError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            yield partial
    except OSError as error:
        raise InputError(f"cannot write {path}: {_reason(error)}") from error


@contextmanager
def _partial(target: Path) -> Iterator[tuple[Path, int]]:
    """A new file beside the target, so that renaming never crosses file systems, and its lock.

    Where the folder takes no new file but the target can be written to, it lies elsewhere.
    """
    name = f".{secrets.token_hex(8)}.partial{target.suffix}"
    beside, elsewhere = target.with_name(name), Path(tempfile.gettempdir(), name)
    descriptor = None
    try:  # from the start, for a signal may end the program at any line
        try:
            partial, descriptor = beside, _create(beside)
        except OSError:
            if not os.access(target, os.W_OK):
                raise
            partial, descriptor = elsewhere, _create(elsewhere)
        yield partial, descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
        for partial in (beside, elsewhere):
            with suppress(OSError, ValueError):  # it was not made there
                partial.unlink()


def _create(partial: Path) -> int:
    """Its descriptor, which holds the lock."""
    while True:
        partial.open("xb").close()
        descriptor = hold(partial)
        if descriptor is not None:
            return descriptor


def _is_replaceable(target: Path) -> bool:
    """Whether another file can be renamed to it, as far as can be told without trying."""
    if os.name != "posix" or not target.exists():
        return True
    folder, user = target.parent.stat(), os.geteuid()
    is_others = user not in (0, folder.st_uid, target.stat().st_uid)
    return not (folder.st_mode & stat.S_ISVTX and is_others) and not _is_mount_point(target)


def _is_mount_point(target: Path) -> bool:
    """As Linux tells, which alone lets a single file be one."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    point = re.sub(r"[ \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", str(target))
    return any(mount.split(" ")[4:5] == [point] for mount in mounts)


def _copy_permissions(target: Path, partial: Path) -> None:
    with suppress(OSError):  # there is none, or the file system knows no permissions
        old, new = target.stat(), partial.stat()
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid) and hasattr(os, "chown"):
            with suppress(OSError):
                os.chown(partial, old.st_uid, old.st_gid)
        partial.chmod(stat.S_IMODE(old.st_mode))


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        with suppress(OSError):  # the file is there; not every file system syncs folders
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
