"""The commands `echoes-train evaluate`, `listen`, `ablate`, `probe` and `confidence`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from echoes_rt.commands.verb import sampling_options
from echoes_rt.errors import InputError
from echoes_rt.io.output_file import check_place
from echoes_training.data.index import Split, read_index
from echoes_training.evaluate.dials import (
    OUT_FILE,
    PARTS,
    SWEPT,
    codec_option,
    count_option,
    ear_option,
    index_option,
    machine_options,
    media_options,
    split_option,
    write_json,
)

_RUN = click.Path(exists=True, file_okay=False, path_type=Path)

seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The first."
)


@click.command()
@click.option("--bundle", help="Folder, .zip or name of the bundle; by default the runtime's own.")
@media_options
@click.option("--out", type=OUT_FILE, required=True, help="The report, a .json file.")
@click.option("--sheet", type=OUT_FILE, help="Also draw media side by side to this .png.")
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Judge only this part besides the real media; may be repeated.",
)
@ear_option
@split_option("heldout")
@count_option("--pictures-per-label", 20, "Held-out pictures to make sounds of.")
@count_option("--sounds-per-label", 8, "Held-out sounds to make pictures of and to fill in.")
@count_option("--seeds n_seeds", 3, "Results of each picture and of each sound.")
@count_option("--pairs n_pairs", 108, "Pairs made from nothing.")
@count_option("--varied-per-label", 1, "Pictures of which ten sounds are compared.")
@count_option("--ranked-per-label", 3, "Pictures and sounds of which eight results are ranked.")
@count_option("--streams n_streams", 6, "Long sounds whose seams are measured.")
@seed_option
@sampling_options
@machine_options
def evaluate(
    bundle: str | None, out: Path, sheet: Path | None, parts: tuple[str, ...], **options: Any
) -> None:
    """Judge a bundle on held-out media.

    With --ear by an independent ear; and by classifiers trained on the training split.

    Example: echoes-train evaluate --bundle echoes-mini --index data/index.jsonl --cache cache
    --out report.json --sheet sheet.png
    """
    for target in (out, sheet):
        if target is not None:
            check_place(target)
    from echoes_training.evaluate.evaluation import load_evaluations
    from echoes_training.evaluate.figures import draw_sheet
    from echoes_training.evaluate.report import evaluate as run
    from echoes_training.evaluate.table import tables

    (evaluation,) = load_evaluations([bundle], parts=parts or PARTS, **options)
    report: dict[str, Any] = run(evaluation)
    write_json(out, report)
    if sheet is not None:
        draw_sheet(evaluation, sheet)
    for line in tables(report):
        click.echo(line)
    click.echo(" ".join(str(path) for path in (out, sheet) if path), err=True)


@click.command()
@media_options
@click.option("--mel-codec", type=_RUN, required=True, help="Training run of the mel codec.")
@click.option("--vocoder", type=_RUN, required=True, help="Training run of the vocoder.")
@click.option(
    "--ear",
    type=_RUN,
    required=True,
    help="Folder of an independent sound classifier (docs/train.md).",
)
@split_option("validation")
@count_option("--per-label", 4, "Real sounds of each label.")
@click.option("--out", type=OUT_FILE, required=True, help="The sheet of spectrograms, a .png.")
def listen(
    index: Path,
    cache: Path,
    mel_codec: Path,
    vocoder: Path,
    ear: Path,
    split: Split,
    per_label: int,
    out: Path,
) -> None:
    """Judge real sounds after log-mel, vocoder and codec.

    Prints a table, and draws the first sound of each label after each part.

    Example: echoes-train listen --index data/index.jsonl --cache cache --mel-codec runs/mel
    --vocoder runs/vocoder --ear ear --out sheet.png
    """
    check_place(out)
    from echoes_training.evaluate.ear import Ear
    from echoes_training.evaluate.listen import Chain
    from echoes_training.evaluate.listen import listen as run
    from echoes_training.evaluate.table import listened
    from echoes_training.stages.codecs import codec_of_run
    from echoes_training.stages.vocoder import vocoder_of_run

    codec = codec_of_run(mel_codec)
    chain = Chain(codec=codec.model, vocoder=vocoder_of_run(vocoder), mel=codec.mel)
    rows = run(chain, read_index(index), split, Ear(ear), cache, per_label, out)
    for line in listened(rows, *chain.cost()):
        click.echo(line)


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
@seed_option
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


@click.command()
@codec_option
@index_option
@split_option("validation")
@click.option("--label", "labels", multiple=True, help="Only this label; may be repeated.")
@count_option("--views", 3, "Views of each training picture that the probe learns from.")
@click.option("--out", type=OUT_FILE, help="Also write the figures to this .json file.")
def probe(
    codec: str, index: Path, split: str, labels: tuple[str, ...], views: int, out: Path | None
) -> None:
    """Measure what the codes of pictures tell.

    That is, of labels and of pixels; and how much of the codebook is used.

    Example: echoes-train probe --codec runs/image --index data/index.jsonl
    """
    from echoes_training.evaluate.probe import probe as run
    from echoes_training.stages.codecs import image_codec_of

    clips = [c for c in read_index(index) if not labels or c.label in labels]
    found = run(image_codec_of(codec), clips, split, views=views)
    click.echo(f"{found.accuracy:.3f} of {found.n_pictures} {split} pictures named")
    click.echo(f"{found.codes_used} codes used, perplexity {found.code_perplexity:.0f}")
    click.echo(f"pixel error {found.pixel_error:.1f} of 255")
    weakest = sorted(found.by_label.items(), key=lambda item: item[1])[:6]
    click.echo("weakest: " + ", ".join(f"{label} {share:.2f}" for label, share in weakest))
    if out is not None:
        write_json(out, {"codec": codec, "split": split, **asdict(found)})


@click.command()
@codec_option
@index_option
@count_option("--views", 3, "Views of each training picture that the head learns from.")
@click.option("--out", type=OUT_FILE, required=True, help="A .safetensors file for the exporter.")
def confidence(codec: str, index: Path, views: int, out: Path) -> None:
    """Learn to tell pictures that have a label from all others.

    It tells by their codes. The index needs pictures without a label beside those that have one, as
    every category of Caltech-101 is indexed. The threshold, and the figures that are printed,
    come from validation.

    Example: echoes-train confidence --codec runs/image --index data/index.jsonl
    --out runs/confidence.safetensors
    """
    from echoes_training.stages.codecs import image_codec_of
    from echoes_training.stages.confidence import fit_confidence, save_confidence

    trained = image_codec_of(codec)
    head, measured = fit_confidence(trained, read_index(index), views=views)
    save_confidence(out, head, trained, measured)
    titles = {
        "known": "with a label",
        "others": "of other categories",
        "spared": "of categories never shown",
    }
    for name, count in measured.n_pictures.items():
        line = f"{measured.refused[name]:.3f} of {count} validation pictures {titles[name]} refused"
        apart = measured.auroc.get(name)
        click.echo(line if apart is None else f"{line}; AUROC {apart:.3f}")
