"""The command `echoes-train ablate`."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from echoes_rt.commands.verb import sampling_options
from echoes_rt.errors import InputError
from echoes_rt.format.sampling import SamplingOptions
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

if TYPE_CHECKING:
    from echoes_training.data.index import Split
    from echoes_training.evaluate.ablation import Sweeps


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
@ear_option
@split_option("heldout")
@count_option("--pictures-per-label", 6, "Pictures to make sounds of.")
@count_option("--seeds", 1, "Sounds of each picture; with two or more, their variety is measured.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first.")
@sampling_options
@machine_options
def ablate(bundles: tuple[str, ...], out: Path, **options: Any) -> None:
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
    ear: Path | None,
    split: "Split",
    dials: tuple[str, ...],
    pictures_per_label: int,
    seeds: int,
    seed: int,
    batch_size: int,
    device: str,
    threads: int | None,
    precision: str,
    **more: Any,
) -> dict[str, Any]:
    from echoes_rt import Echoes
    from echoes_training.data.index import read_index
    from echoes_training.evaluate.ablation import Ablation, key_of, references_of
    from echoes_training.evaluate.ear import Ear
    from echoes_training.evaluate.evaluation import EvaluateConfig, Evaluation
    from echoes_training.evaluate.media import fingerprint

    sampling = cast(SamplingOptions, {k: more[k] for k in SamplingOptions.__annotations__})
    sweeps = _sweeps(more)
    config = EvaluateConfig(
        split=split,
        pictures_per_label=pictures_per_label,
        n_seeds=seeds,
        seed=seed,
        batch_size=batch_size,
    )
    clips = read_index(index)
    judge = None if ear is None else Ear(ear)
    evaluations = {
        name: Evaluation(
            Echoes.load(path, device, threads, precision), clips, cache, sampling, config, judge
        )
        for name, path in places.items()
    }
    name_of_first, first = next(iter(evaluations.items()))
    settings = {
        "pictures": fingerprint(first.some_pictures(pictures_per_label), "image"),
        "sounds": fingerprint(first.taught_sounds, "audio"),
        "classifier": dataclasses.asdict(config.classifier),
        "pictures_per_label": pictures_per_label,
        "seeds": seeds,
        "seed": seed,
        "labels": list(first.labels),
        "split": split,
        "ear": ear is not None,
        "precision": precision,
        "first": f"{name_of_first}: {key_of(first.sampling)}",
    }
    ablation = Ablation(out, settings, functools.cache(lambda: references_of(first)))
    for name, evaluation in evaluations.items():
        ablation.run(name, evaluation, sweeps, dials or tuple(SWEPT))
    return ablation.results


def _sweeps(options: dict[str, Any]) -> "Sweeps":
    """The default values, and the given ones in their place."""
    from echoes_training.evaluate.ablation import Sweeps

    prefix = "values_"
    given = {k.removeprefix(prefix): v for k, v in options.items() if k.startswith(prefix) and v}
    return Sweeps(**given)
