"""The options that commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from echoes_rt.format.sampling import GUIDANCE_SCHEDULES

F = TypeVar("F", bound=Callable[..., None])

OUT_FILE = click.Path(path_type=Path, dir_okay=False)

index_option = click.option(
    "--index",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The index.jsonl written by echoes-train prepare.",
)
codec_option = click.option(
    "--codec", required=True, help="Run of a picture codec, or a bundle: its folder, .zip or name."
)


def media_options(function: F) -> F:
    """Where the held-out media and the judges are."""
    return _decorated(
        function,
        index_option,
        click.option(
            "--cache",
            type=click.Path(path_type=Path, file_okay=False),
            required=True,
            help="Folder that keeps the trained classifiers for the next time.",
        ),
    )


def sampling_options(function: F) -> F:
    """The runtime's dials; what is not given is the bundle's default."""
    return _decorated(
        function,
        click.option("--steps", type=int),
        click.option("--guidance-scale", type=float),
        click.option("--temperature", type=float),
        click.option("--guidance-schedule", type=click.Choice(GUIDANCE_SCHEDULES)),
        click.option("--guidance-interval", type=(float, float), metavar="START STOP"),
    )


def machine_options(function: F) -> F:
    return _decorated(
        function,
        click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True),
        click.option("--device", default="auto", show_default=True),
        click.option("--threads", type=click.IntRange(1, 1024)),
    )


def count_option(name: str, default: int, text: str) -> Callable[[Any], Any]:
    return click.option(name, type=click.IntRange(1), default=default, show_default=True, help=text)


def split_option(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--split",
        type=click.Choice(["validation", "heldout"]),
        default=default,
        show_default=True,
        help="What is judged: choices are made on validation, held-out media are for the report.",
    )


def _decorated(function: F, *options: Callable[[Any], Any]) -> F:
    for option in reversed(options):
        function = option(function)
    return function
