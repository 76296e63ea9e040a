"""What a process makes for a while; what a dead one left is known by its lock, which is free."""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from echoes_rt.errors import EchoesError

if sys.platform != "win32":
    import fcntl

_PREFIX = "echoes-rt-scratch-"


class ScratchFolder:
    """A temporary folder; where ``remove`` was not called, the next process does it."""

    def __init__(self) -> None:
        """Makes it, and removes those of dead processes.

        Raises:
            EchoesError: if there is no place for temporary files.
        """
        try:
            remove_abandoned(Path(tempfile.gettempdir()).glob(f"{_PREFIX}????????"))
            lock = None
            while lock is None:
                self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
                lock = hold(self.path)
        except OSError as error:
            reason = error.strerror or error
            raise EchoesError(
                f"no temporary folder can be made: {reason}; set TMPDIR to a folder with room"
            ) from error
        self._lock = lock
        self._process = os.getpid()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Does nothing in a forked process, whose parent still needs the folder."""
        if os.getpid() == self._process:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)


def hold(path: Path) -> int | None:
    """Locks a file or folder that was just made, until its descriptor is closed.

    Returns:
        The descriptor; None if a process that took it for abandoned was quicker.
    """
    if sys.platform == "win32":
        return os.open(os.devnull, os.O_RDONLY)  # nothing is taken for abandoned there
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # a file system without locks, where nothing is removed
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


def remove_abandoned(candidates: Iterable[Path]) -> None:
    """Removes this user's files and folders whose lock nobody holds."""
    for path in candidates:
        with contextlib.suppress(OSError), _unheld(path) as descriptor:
            mode, user = os.fstat(descriptor).st_mode, os.fstat(descriptor).st_uid
            if sys.platform == "win32" or user != os.geteuid():
                continue
            if stat.S_ISDIR(mode):
                shutil.rmtree(path, ignore_errors=True)
            elif stat.S_ISREG(mode):
                path.unlink()


@contextlib.contextmanager
def _unheld(path: Path) -> Iterator[int]:
    """Its descriptor, locked; OSError if somebody holds it or it is a link."""
    if sys.platform == "win32":
        raise PermissionError(f"{path} may be in use")
    wanted = os.O_RDONLY if path.is_dir() else os.O_RDWR
    descriptor = os.open(path, wanted | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)
