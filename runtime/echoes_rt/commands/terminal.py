"""What the command line asks of the process around it: its streams, its signals, its words."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from types import FrameType

import click

from echoes_rt.backends.lifetime import RAISING
from echoes_rt.cpu_limit import BLAS_VARIABLES, thread_limit
from echoes_rt.errors import escape, one_line

_ENDING = ("SIGTERM", "SIGHUP")


class LogFormatter(logging.Formatter):
    """Records as single lines, fit for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def say(text: str, *, err: bool = False) -> None:
    """Prints lines in which names and files of unknown origin do no harm."""
    click.echo("\n".join(escape(line) for line in text.split("\n")), err=err)


def prepare_process() -> None:
    """To be called before anything is opened or loaded."""
    _open_streams()
    if logging.lastResort is not None:  # it writes warnings to stderr where nothing else does
        logging.lastResort.setFormatter(LogFormatter("Warning: %(message)s"))
    # A picture that Pillow warns of is either read or refused in a sentence of ours.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _end_on_signals()
    limit = thread_limit()
    if limit is not None:  # numpy's library starts its threads when numpy is imported
        for name in BLAS_VARIABLES:
            os.environ.setdefault(name, str(limit))


def drop_stdout() -> None:
    """What could not be written is not tried again when Python ends."""
    if sys.stdout is not None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end


def _open_streams() -> None:
    """Without this the first file that is opened would become the missing stream."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is the missing one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that its encoding lacks


def _end_on_signals() -> None:
    """An exception instead of sudden death, so that temporary files go."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in _ENDING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
    sys.exit(128 + number)


RAISING.append(_end)
