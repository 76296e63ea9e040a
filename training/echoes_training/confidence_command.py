"""The command `echoes-train confidence`."""

from pathlib import Path

import click

from echoes_training.evaluate.dials import OUT_FILE, codec_option, count_option, index_option


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
