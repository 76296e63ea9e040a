"""The options that many commands share."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from echoes_rt.commands.terminal import LogFormatter

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_sampling_options = _all(
    click.option(
        "--seed", type=int, metavar="N", help="0 to 2^64 - 1. [default: random, and reported]"
    ),
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

_device_options = _all(
    click.option(
        "--bundle",
        metavar="PATH",
        help="A bundle's folder, zip or name. [default: ECHOES_RT_BUNDLE or echoes-mini]",
    ),
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
)


def _say_more(_: click.Context, __: click.Parameter, is_verbose: bool) -> None:
    if is_verbose:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LogFormatter("%(name)s: %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])


_talk_options = _all(
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


def verb_options(command: Command) -> Command:
    """Sampling, device, and how much is said; the command gets them all as keywords."""
    return _sampling_options(_device_options(_talk_options(command)))
