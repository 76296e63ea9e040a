"""The command `echoes-train metrics`."""

from pathlib import Path

import click

from echoes_rt.io.output_file import check_place
from echoes_training.av_metrics.protocol import CLIP_S
from echoes_training.evaluate.dials import OUT_FILE, write_json

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("metrics")
@click.option("--generated", type=_FOLDER, required=True, help="Generated sounds, or embeddings.")
@click.option("--reference", type=_FOLDER, required=True, help="Real sounds, or embeddings.")
@click.option(
    "--pictures",
    type=_FOLDER,
    help="What the sounds were made from, or its embeddings. [default: the reference's "
    "imagebind_video.pth, if there is one]",
)
@click.option(
    "--embedder",
    "embedders",
    type=_FILE,
    multiple=True,
    help="A .json that describes a network of yours; may be repeated. Needed for sounds and "
    "pictures, not for embeddings.",
)
@click.option("--out", type=OUT_FILE, required=True, help="The report, a .json file.")
@click.option(
    "--clip-s",
    type=click.FloatRange(0, 600, min_open=True),
    default=CLIP_S,
    show_default=True,
    help="Seconds of each sound that count.",
)
@click.option(
    "--pair-by",
    metavar="REGEX",
    help="Whose one group, matched against a generated file's name, is its partner's name. "
    "[default: both have one name]",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep embeddings here; made again only if media or networks change.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the embedders run.",
)
def metrics(
    generated: Path,
    reference: Path,
    pictures: Path | None,
    embedders: tuple[Path, ...],
    out: Path,
    clip_s: float,
    pair_by: str | None,
    cache: Path | None,
    device: str,
) -> None:
    """Compare generated with real sounds by the metrics of papers.

    FAD and other Frechet distances, KL, inception score, and with --pictures CLIP-score and
    ImageBind score, as av-benchmark computes them, on embeddings by networks of yours.

    Example: echoes-train metrics --generated out --reference test --embedder vggish.json
    --embedder passt.json --out metrics.json
    """
    check_place(out)
    from echoes_training.av_metrics.embedder import load_embedder
    from echoes_training.av_metrics.pairing import parse_pattern
    from echoes_training.av_metrics.report import make_report
    from echoes_training.av_metrics.sets import pictures_beside, read_set
    from echoes_training.av_metrics.text import text_report

    pattern = None if pair_by is None else parse_pattern(pair_by)
    how = ([load_embedder(path, device) for path in embedders], clip_s, cache)
    made, real = (read_set(folder, "sound", *how) for folder in (generated, reference))
    seen = read_set(pictures, "picture", *how) if pictures else pictures_beside(reference)
    report = make_report(made, real, seen, clip_s, pattern)
    write_json(out, report)
    for line in text_report(report):
        click.echo(line)
    click.echo(str(out), err=True)
