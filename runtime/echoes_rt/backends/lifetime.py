"""Keeps ONNX Runtime, OpenCV and soxr clear of forks and of Python's end, which abort in them.

A thread that Python ends while it waits to come back from C++ is unwound through frames that do not
let it: ``terminate called without an active exception``, or ``FATAL: exception not rethrown``.
"""

import atexit
import ctypes
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

_ENDING_S = 10.0

_starting = threading.Lock()
_ending = threading.Condition()
_work: set[Any] = set()
_is_over = False


@contextmanager
def starting() -> Iterator[None]:
    """Round the making of a session: a fork waits until it is made, and so does Python's end."""
    with at_work(), _starting:
        yield


def run_watched(run: Callable[[], T], options: Any) -> T:
    """Calls ``run``, which runs a graph with these ``RunOptions``.

    Ctrl-C ends it in the main thread; in others Python's end terminates it and waits for it.
    """
    if threading.current_thread() is threading.main_thread():
        return ended_by_signals(run, options)
    with at_work(options):
        return run()


def never_free(value: object) -> None:
    """In a forked process: freeing its parent's sessions would wait for threads that it lacks."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


@contextmanager
def at_work(options: Any = None) -> Iterator[None]:
    """Round a call into C++ during which other threads run, or a function: Python's end waits.

    Args:
        options: ONNX Runtime's ``RunOptions``, by which the end terminates what runs.
    """
    work = object() if options is None else options
    with _ending:
        is_late = _is_too_late()
        if not is_late:
            _work.add(work)
    if is_late:
        _stop_for_ever()
    try:
        yield
    finally:
        with _ending:
            _work.discard(work)
            _ending.notify_all()
            is_late = _is_too_late()
        if is_late:
            _stop_for_ever()


def _is_too_late() -> bool:
    """Whether Python would end this thread."""
    return _is_over and threading.current_thread() is not threading.main_thread()


def _stop_for_ever() -> None:
    threading.Event().wait()


@atexit.register
def _end() -> None:
    global _is_over
    with _ending:
        _is_over = True
        for work in _work:
            if hasattr(work, "terminate"):
                work.terminate = True
        _ending.wait_for(lambda: not _work, _ENDING_S)


def _after_fork() -> None:
    global _ending
    _starting.release()
    _ending = threading.Condition()  # another thread may have held it
    _work.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_after_fork
    )


RAISING: list[Any] = [signal.default_int_handler]
"""Handlers that raise; those that only take note of a signal leave the run alone."""

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def ended_by_signals(run: Callable[[], T], options: Any) -> T:
    """Calls ``run`` in the main thread, and ends it where a handler of ``RAISING`` waits to raise.

    Args:
        run: runs a graph with the options.
        options: ONNX Runtime's ``RunOptions``.
    """
    numbers = {number for number in _SIGNALS if _is_raising(signal.getsignal(number))}
    if not numbers:
        return run()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # as the signal module wants it
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        listener = (ours, before, numbers, options)
        threading.Thread(target=_listen, args=listener, daemon=True).start()
        return run()
    finally:
        try:  # behind this call, the first after the run, the handler raises
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        finally:
            theirs.close()


def _is_raising(handler: Any) -> bool:
    return any(handler is known for known in RAISING)


def _listen(ours: socket.socket, before: int, numbers: set[int], options: Any) -> None:
    with ours:
        while came := ours.recv(64):
            if numbers.intersection(came):
                options.terminate = True
            if before >= 0:
                with suppress(OSError):
                    os.write(before, came)
