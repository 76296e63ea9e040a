"""The command `echoes-train ablate`."""

from pathlib import Path
from typing import Any

import click

from echoes_rt.commands.verb import sampling_options
from echoes_rt.errors import InputError
from echoes_rt.io.output_file import check_place
from echoes_training.evaluate.dials import (
    OUT_FILE,
    SWEPT,
    count_option,
    ear_option,
    machine_options,
    media_options,
    split_option,
)


@click.command()
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    metavar="NAME=PATH",
    required=True,
    help="A bundle and what to call it; may be repeated: all are compared with the first.",
)
@media_options
@click.option("--out", type=OUT_FILE, required=True, help="The results, a .json file.")
@click.option(
    "--sweep", "dials", type=click.Choice(tuple(SWEPT)), multiple=True, help="Vary only this."
)
@click.option("--guidance", type=float, multiple=True, help="A scale to try.")
@click.option(
    "--interval",
    "intervals",
    type=(float, float),
    multiple=True,
    metavar="START STOP",
    help="Shares of the steps between which alone guidance is on.",
)
@click.option("--try-steps", type=int, multiple=True, help="Steps to try.")
@click.option("--try-temperature", type=float, multiple=True, help="A temperature to try.")
@ear_option
@split_option("heldout")
@count_option("--pictures-per-label", 6, "Pictures to make sounds of.")
@count_option(
    "--seeds n_seeds", 1, "Sounds of each picture; with two or more, their variety is measured."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first.")
@sampling_options
@machine_options
def ablate(
    bundles: tuple[str, ...],
    out: Path,
    dials: tuple[str, ...],
    guidance: tuple[float, ...],
    intervals: tuple[tuple[float, float], ...],
    try_steps: tuple[int, ...],
    try_temperature: tuple[float, ...],
    **options: Any,
) -> None:
    """Vary sampling settings one at a time.

    Counts the sounds that are recognised. The other settings are the bundle's own or those
    given. Every result is kept in the .json file: the same command goes on where it was
    stopped, another sweep is added.

    Frechet distances are to the real sounds, and to those that the first bundle makes at its own
    settings with other seeds, so that its own distance there is that of chance.

    \b
    Example: echoes-train ablate --bundle mini=echoes-mini --index data/index.jsonl --cache cache
             --out ablation.json --sweep guidance
             echoes-train ablate --bundle teacher=t --bundle student=s --index data/index.jsonl
             --cache cache --out steps.json --sweep steps --seeds 10 --ear ear --split validation
    """  # noqa: D301 - \b keeps click from joining the lines
    check_place(out)
    places = dict(_named(text) for text in bundles)
    from echoes_training.evaluate.ablation import Sweeps, ablation_tables
    from echoes_training.evaluate.ablation import ablate as run
    from echoes_training.evaluate.evaluation import load_evaluations

    values: dict[str, Any] = {
        "guidance": guidance,
        "intervals": intervals,
        "steps": try_steps,
        "temperature": try_temperature,
    }
    sweeps = Sweeps(**{name: given for name, given in values.items() if given})
    evaluations = dict(zip(places, load_evaluations(places.values(), **options), strict=True))
    results = run(out, evaluations, sweeps, dials or tuple(SWEPT), options["precision"])
    for line in ablation_tables(results):
        click.echo(line)
    click.echo(str(out), err=True)


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError(f"--bundle must be NAME=PATH, got {text!r}")
    return name, path
