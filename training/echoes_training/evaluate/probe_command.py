"""The command `echoes-train probe`."""

from pathlib import Path

import click

from echoes_training.evaluate.dials import (
    OUT_FILE,
    codec_option,
    count_option,
    index_option,
    split_option,
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
    from dataclasses import asdict

    from echoes_training.data.index import read_index
    from echoes_training.evaluate.json_file import write_json
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
