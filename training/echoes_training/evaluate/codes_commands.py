"""The commands on the codes of pictures, `echoes-train probe` and `echoes-train confidence`."""

from dataclasses import asdict
from pathlib import Path

import click

from echoes_training.evaluate.dials import (
    OUT_FILE,
    codec_option,
    count_option,
    index_option,
    split_option,
    write_json,
)


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
    from echoes_training.data.index import read_index
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
    from echoes_training.data.index import read_index
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
