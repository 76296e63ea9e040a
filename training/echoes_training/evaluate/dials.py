"""What commands share: options, the parts of an evaluation, results as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from echoes_rt.io.output_file import written

F = TypeVar("F", bound=Callable[..., None])

SOUND_PARTS = ("vocoder", "codec", "generated")
PICTURE_PARTS = ("image_codec", "pictures")
TASK_PARTS = ("unknown", "cogenerated", "inpainted", "diversity", "ranked", "seams")

PARTS = (*SOUND_PARTS, *PICTURE_PARTS, "codebooks", *TASK_PARTS)
"""What may be judged besides the real media, which always are: all else is compared to them."""

NEED_PICTURE_JUDGE = frozenset((*PICTURE_PARTS, "cogenerated", "ranked"))

SOUND_SERIES = ("real", *SOUND_PARTS)
"""Every kind of sound that a report has accuracies of, from the best to the hardest."""

PICTURE_SERIES = ("real_pictures", *PICTURE_PARTS)

SWEPT = {"guidance": "guidance_scale", "steps": "steps", "temperature": "temperature"}
"""What an ablation varies, and the settings that these are."""

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


def count_option(names: str, default: int, text: str) -> Callable[[Any], Any]:
    """``names`` are the option, and the parameter if that has another name."""
    kind = click.IntRange(1)
    return click.option(*names.split(), type=kind, default=default, show_default=True, help=text)


def _together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


media_options = _together(
    index_option,
    click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="Folder that keeps the trained classifiers for the next time.",
    ),
)
machine_options = _together(
    count_option("--batch-size", 8, "Results that are made together."),
    click.option(
        "--device", default="auto", show_default=True, help="As echoes-rt generate takes it."
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        help="CPU threads. [default: one per usable core]",
    ),
    click.option(
        "--precision",
        default="fp32",
        show_default=True,
        help="Of a CPU's matrix products, as in the runtime: fp32, int8 or auto.",
    ),
)
ear_option = click.option(
    "--ear",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an independent sound classifier, which judges sounds, too (docs/train.md).",
)


def split_option(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--split",
        type=click.Choice(["validation", "heldout"]),
        default=default,
        show_default=True,
        help="What is judged: choices are made on validation, held-out media are for the report.",
    )


def write_json(path: Path, values: dict[str, Any]) -> None:
    """The file appears whole or not at all."""
    with written(path) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
