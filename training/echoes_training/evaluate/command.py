"""The command `echoes-train evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from echoes_rt.options import SamplingOptions
from echoes_rt.output_file import check_place
from echoes_training.evaluate.dials import (
    OUT_FILE,
    count_option,
    machine_options,
    media_options,
    sampling_options,
)
from echoes_training.evaluate.json_file import write_json
from echoes_training.evaluate.parts import PARTS

if TYPE_CHECKING:
    from echoes_training.evaluate.evaluation import Evaluation


@click.command()
@click.option("--bundle", help="Folder, .zip or name of the bundle; by default the runtime's own.")
@media_options
@click.option("--out", type=OUT_FILE, required=True, help="The report, a .json file.")
@click.option("--figure", type=OUT_FILE, help="A .png; by default beside the report.")
@click.option("--sheet", type=OUT_FILE, help="Also draw media side by side to this .png.")
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Judge only this part besides the real media; may be repeated.",
)
@count_option("--pictures-per-label", 20, "Held-out pictures to make sounds of.")
@count_option("--sounds-per-label", 8, "Held-out sounds to make pictures of and to fill in.")
@count_option("--seeds", 3, "Results of each picture and of each sound.")
@count_option("--pairs", 108, "Pairs made from nothing.")
@count_option("--varied-per-label", 1, "Pictures of which ten sounds are compared.")
@count_option("--ranked-per-label", 3, "Pictures and sounds of which eight results are ranked.")
@count_option("--streams", 6, "Long sounds whose seams are measured.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first.")
@sampling_options
@machine_options
def evaluate(out: Path, figure: Path | None, sheet: Path | None, **options: Any) -> None:
    """Judge a bundle on held-out media, with classifiers trained on the others.

    Example: echoes-train evaluate --bundle echoes-mini --index data/index.jsonl --cache cache
    --out report.json --sheet sheet.png
    """
    figure = figure or out.with_suffix(".png")
    for target in (out, figure, sheet):
        if target is not None:
            check_place(target)
    evaluation = _prepare(**options)
    from echoes_training.evaluate.figures import draw_report, draw_sheet
    from echoes_training.evaluate.report import evaluate as run
    from echoes_training.evaluate.table import tables

    report: dict[str, Any] = run(evaluation)
    write_json(out, report)
    draw_report(report, figure)
    if sheet is not None:
        draw_sheet(evaluation, sheet)
    for line in tables(report):
        click.echo(line)
    click.echo(" ".join(str(path) for path in (out, figure, sheet) if path), err=True)


def _prepare(
    *,
    bundle: str | None,
    index: Path,
    cache: Path,
    parts: tuple[str, ...],
    seeds: int,
    pairs: int,
    streams: int,
    device: str,
    threads: int | None,
    **more: Any,
) -> "Evaluation":
    from echoes_rt import Echoes
    from echoes_training.data.index import read_index
    from echoes_training.evaluate.evaluation import EvaluateConfig, Evaluation

    dials = {name: more.pop(name) for name in SamplingOptions.__annotations__}
    return Evaluation(
        Echoes.load(bundle, device, threads),
        read_index(index),
        cache,
        cast(SamplingOptions, dials),
        EvaluateConfig(
            parts=parts or PARTS,
            n_seeds=seeds,
            n_pairs=pairs,
            n_streams=streams,
            threads=threads,
            **more,
        ),
    )
