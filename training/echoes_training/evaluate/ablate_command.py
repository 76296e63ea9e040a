"""The command `echoes-train ablate`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import check_place
from echoes_rt.options import SamplingOptions
from echoes_training.evaluate.dials import (
    OUT_FILE,
    SWEPT,
    count_option,
    machine_options,
    media_options,
    sampling_options,
)

if TYPE_CHECKING:
    from echoes_training.evaluate.ablation import Sweeps


@click.command()
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    metavar="NAME=PATH",
    required=True,
    help="A bundle and what to call it; may be repeated.",
)
@media_options
@click.option("--out", type=OUT_FILE, required=True, help="The results, a .json file.")
@click.option(
    "--sweep", "dials", type=click.Choice(tuple(SWEPT)), multiple=True, help="Vary only this."
)
@click.option("--guidance", "values_guidance", type=float, multiple=True, help="A scale to try.")
@click.option(
    "--interval",
    "values_intervals",
    type=(float, float),
    multiple=True,
    metavar="START STOP",
    help="Shares of the steps between which alone guidance is on.",
)
@click.option("--try-steps", "values_steps", type=int, multiple=True, help="Steps to try.")
@click.option(
    "--try-temperature",
    "values_temperature",
    type=float,
    multiple=True,
    help="A temperature to try.",
)
@count_option("--pictures-per-label", 6, "Held-out pictures to make sounds of.")
@count_option("--seeds", 1, "Sounds of each picture; with two or more, their variety is measured.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first.")
@sampling_options
@machine_options
def ablate(bundles: tuple[str, ...], out: Path, **options: Any) -> None:
    """Vary sampling settings one at a time.

    Counts the sounds that are recognised. The other settings are the bundle's own or those
    given. Every result is kept in the .json file: the same command goes on where it was
    stopped, another sweep is added.

    Example: echoes-train ablate --bundle mini=echoes-mini --index data/index.jsonl --cache cache
    --out ablation.json --sweep guidance
    """
    check_place(out)
    places = dict(_named(text) for text in bundles)
    results = _run(places, out, **options)
    from echoes_training.evaluate.ablation import ablation_tables

    for line in ablation_tables(results):
        click.echo(line)
    click.echo(str(out), err=True)


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError(f"--bundle must be NAME=PATH, got {text!r}")
    return name, path


def _run(
    places: dict[str, str],
    out: Path,
    *,
    index: Path,
    cache: Path,
    dials: tuple[str, ...],
    pictures_per_label: int,
    seeds: int,
    seed: int,
    batch_size: int,
    device: str,
    threads: int | None,
    **more: Any,
) -> dict[str, Any]:
    from echoes_rt import Echoes
    from echoes_training.data.index import read_index
    from echoes_training.evaluate.ablation import Ablation
    from echoes_training.evaluate.evaluation import EvaluateConfig, Evaluation
    from echoes_training.evaluate.media import fingerprint

    sampling = cast(SamplingOptions, {k: more[k] for k in SamplingOptions.__annotations__})
    sweeps = _sweeps(more)
    config = EvaluateConfig(
        pictures_per_label=pictures_per_label, n_seeds=seeds, seed=seed, batch_size=batch_size
    )
    clips = read_index(index)
    evaluations = {
        name: Evaluation(Echoes.load(path, device, threads), clips, cache, sampling, config)
        for name, path in places.items()
    }
    first = next(iter(evaluations.values()))
    settings = {
        "pictures": fingerprint(first.some_pictures(pictures_per_label), "image"),
        "sounds": fingerprint(first.taught_sounds, "audio"),
        "classifier": dataclasses.asdict(config.classifier),
        "pictures_per_label": pictures_per_label,
        "seeds": seeds,
        "seed": seed,
        "labels": list(first.labels),
    }
    ablation = Ablation(out, settings)
    for name, evaluation in evaluations.items():
        ablation.run(name, evaluation, sweeps, dials or tuple(SWEPT))
    return ablation.results


def _sweeps(options: dict[str, Any]) -> "Sweeps":
    """The default values, and the given ones in their place."""
    from echoes_training.evaluate.ablation import Sweeps

    prefix = "values_"
    given = {k.removeprefix(prefix): v for k, v in options.items() if k.startswith(prefix) and v}
    return Sweeps(**given)
