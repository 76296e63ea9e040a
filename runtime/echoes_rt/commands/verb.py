"""What every verb is asked besides its own arguments, and how it is answered."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from echoes_rt.commands.files import STANDARD, save
from echoes_rt.commands.report import Report, describe, text_of
from echoes_rt.commands.terminal import LogFormatter, say

if TYPE_CHECKING:
    from echoes_rt.decode.steps import OnStep
    from echoes_rt.pipeline import Echoes
    from echoes_rt.results import Result

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

bundle_option = click.option(
    "--bundle",
    metavar="PATH",
    help="A bundle's folder, zip or name. [default: ECHOES_RT_BUNDLE or echoes-mini]",
)

start_option = click.option(
    "--start",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Where the clip begins in a longer sound.",
)


@dataclass(frozen=True, kw_only=True)
class Verb:
    """The options that all verbs have.

    Attributes:
        options: the seed and the dials, as the API's keywords; None is the bundle's default.
        begin: when the command began, in seconds of ``time.perf_counter``.
    """

    bundle: str | None
    device: str
    threads: int | None
    precision: str
    as_json: bool
    quiet: bool
    options: dict[str, Any]
    begin: float = field(default_factory=time.perf_counter)

    def load(self) -> Echoes:
        from echoes_rt.pipeline import Echoes

        return Echoes.load(self.bundle, self.device, self.threads, self.precision)

    def make(self, out: Path, ask: Callable[..., Result], duration: float | None = None) -> None:
        """Loads the bundle, saves what it makes, and tells of it.

        Args:
            out: the result's file.
            ask: gets the bundle, and ``options`` with an ``on_step`` as keywords.
            duration: seconds to make; None is one clip.
        """
        echoes = self.load()
        runs = 1 if duration is None else echoes.windows(duration)
        with progress(quiet=self.quiet, runs=runs) as on_step:
            made = ask(echoes, on_step=on_step, **self.options)
        save(made, out)
        self.show([describe(out, made, echoes)], out)

    def show(self, reports: list[Report], out: Path, failures: list[Report] | None = None) -> None:
        """Prints one report, or a list of them if there are several; failures end with status 1.

        Standard output is left to the result where ``out`` is that.
        """
        took_s = time.perf_counter() - self.begin
        is_piped = out == STANDARD
        if is_piped:
            reports = [report | {"file": str(out)} for report in reports]
        if self.as_json:
            document: Report = {"results": reports}
            if failures:
                document["failures"] = failures
            elif len(reports) == 1:
                document = reports[0]
            say(json.dumps(document | {"took_ms": round(took_s * 1000, 1)}, indent=2), err=is_piped)
        elif reports and not self.quiet:
            say(text_of(reports, took_s), err=is_piped)
        for failure in failures or ():
            say(f"Error: {failure['error']}", err=True)
        if failures:
            raise click.exceptions.Exit(1)


@contextmanager
def progress(*, quiet: bool, runs: int = 1) -> Iterator[OnStep | None]:
    """Gives an ``on_step`` that shows a bar on stderr, if somebody looks.

    Args:
        quiet: no bar.
        runs: how many decodings there will be, each of as many steps as the first step tells.
    """
    stream = sys.stderr
    # Programs without a console have None there.
    if quiet or stream is None or stream.closed or not stream.isatty():
        yield None
        return
    bar: Any = None

    def on_step(step: int, steps: int) -> None:
        nonlocal bar
        if bar is None:
            bar = click.progressbar(length=steps * runs, label="decoding", file=stream)
        elif bar.pos >= bar.length:
            bar.length += steps  # a video's windows are not known beforehand
        bar.update(1)

    try:
        yield on_step
    finally:
        if bar is not None:
            bar.render_finish()


def _say_more(_: click.Context, __: click.Parameter, is_verbose: bool) -> None:
    if is_verbose:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LogFormatter("%(name)s: %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])


_SEED = click.option(
    "--seed", type=int, metavar="N", help="0 to 2^64 - 1. [default: random, and reported]"
)

_SAMPLING = (
    click.option("--steps", type=int, metavar="N", help="Decoding passes. [default: the bundle's]"),
    click.option(
        "--guidance-scale",
        type=float,
        metavar="X",
        help="Strength of the guidance; 1 turns it off, for half the time. [default: the bundle's]",
    ),
    click.option(
        "--guidance-schedule",
        metavar="NAME",
        help="constant, or annealed: falls to 1 during decoding. [default: the bundle's]",
    ),
    click.option(
        "--guidance-interval",
        type=float,
        nargs=2,
        metavar="X Y",
        help="Fractions of the steps between which guidance is on. [default: the bundle's]",
    ),
    click.option(
        "--temperature",
        type=float,
        metavar="X",
        help="Sampling temperature; 0 always takes the likeliest code. [default: the bundle's]",
    ),
)

_OTHERS = (
    bundle_option,
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="auto, cpu, cuda, tensorrt, openvino, webgpu; cuda:1 is a second GPU.",
    ),
    click.option(
        "--threads", type=int, metavar="N", help="CPU threads. [default: one per usable core]"
    ),
    click.option(
        "--precision",
        default="fp32",
        show_default=True,
        metavar="NAME",
        help="Of a CPU's matrix products: fp32, int8, or auto: int8 where it is faster here.",
    ),
    json_option,
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_say_more,
        help="Log what is done, on stderr.",
    ),
)


def sampling_options(command: Command) -> Command:
    """What ``SamplingOptions`` says; the ranges are the schema's, which the API applies."""
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


def verb_options(command: Callable[..., None]) -> Callable[..., None]:
    """Sampling, device, and how much is said; the command gets them as a ``Verb``, its first."""

    @wraps(command)
    def run(**given: Any) -> None:
        from echoes_rt.format.sampling import SamplingOptions

        common = ("bundle", "device", "threads", "precision", "as_json", "quiet")
        asked = ("seed", *SamplingOptions.__annotations__)
        options = {name: given.pop(name) for name in asked}
        verb = Verb(options=options, **{name: given.pop(name) for name in common})
        command(verb, **given)

    for option in reversed(_OTHERS):
        run = option(run)
    return _SEED(sampling_options(run))
