"""A progress bar on stderr, if somebody looks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from echoes_rt.decode.steps import OnStep


@contextmanager
def progress(*, quiet: bool, runs: int = 1) -> "Iterator[OnStep | None]":
    """Gives an ``on_step``; the bar is made when the first step tells how many there are.

    Args:
        quiet: no bar.
        runs: how many decodings of as many steps there will be.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar: Any = None

    def on_step(step: int, steps: int) -> None:
        nonlocal bar
        if bar is None:
            bar = click.progressbar(length=steps * runs, label="decoding", file=sys.stderr)
        elif bar.pos >= bar.length:
            bar.length += steps  # a video's windows are not known beforehand
        bar.update(1)

    try:
        yield on_step
    finally:
        if bar is not None:
            bar.render_finish()
