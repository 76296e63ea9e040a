"""The commands `echoes-train evaluate` and `echoes-train listen`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echoes_rt.commands.verb import sampling_options
from echoes_rt.io.output_file import check_place
from echoes_training.evaluate.dials import (
    OUT_FILE,
    PARTS,
    count_option,
    ear_option,
    machine_options,
    media_options,
    split_option,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from echoes_training.data.index import Split

_RUN = click.Path(exists=True, file_okay=False, path_type=Path)


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
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first.")
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
    split: "Split",
    per_label: int,
    out: Path,
) -> None:
    """Judge real sounds after log-mel, vocoder and codec.

    Prints a table, and draws the first sound of each label after each part.

    Example: echoes-train listen --index data/index.jsonl --cache cache --mel-codec runs/mel
    --vocoder runs/vocoder --ear ear --out sheet.png
    """
    check_place(out)
    from echoes_training.data.audio import AudioStore
    from echoes_training.data.index import read_index
    from echoes_training.evaluate.ear import Ear
    from echoes_training.evaluate.judge import ClassifierConfig, Judge, cached_judge
    from echoes_training.evaluate.listen import Chain
    from echoes_training.evaluate.listen import listen as run
    from echoes_training.evaluate.media import labelled_sounds
    from echoes_training.evaluate.table import listened
    from echoes_training.stages.codecs import codec_of_run
    from echoes_training.stages.vocoder import vocoder_of_run

    clips = read_index(index)

    def judge_of(store: AudioStore, labels: "Sequence[str]") -> Judge:
        taught = labelled_sounds(clips, labels, "train")
        return cached_judge(cache, taught, labels, store, ClassifierConfig())

    codec = codec_of_run(mel_codec)
    chain = Chain(codec=codec.model, vocoder=vocoder_of_run(vocoder), mel=codec.mel)
    rows = run(chain, clips, split, Ear(ear), judge_of, per_label, out)
    for line in listened(rows, *chain.cost()):
        click.echo(line)
