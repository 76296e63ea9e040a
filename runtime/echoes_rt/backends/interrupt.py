"""Ctrl-C ends a run of ONNX Runtime, during which Python itself calls no signal handler."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

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
