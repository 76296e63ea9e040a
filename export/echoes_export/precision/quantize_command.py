"""``echoes-export quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from echoes_rt.bundle import Bundle
    from echoes_rt.comparison import Array


@click.command()
@click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--index",
    type=click.Path(path_type=Path),
    help="The index.jsonl written by echoes-train prepare: its held-out pictures measure the "
    "change. [default: noise]",
)
@click.option(
    "--pictures",
    type=click.IntRange(1, 10_000),
    default=16,
    show_default=True,
    help="How many pictures.",
)
def quantize(folder: Path, index: Path | None, pictures: int) -> None:
    """Add int8 graphs to BUNDLE, for CPUs.

    Transformer and vocoder multiply in 8-bit integers there.

    Prints how far scores and tokens move. What that does to the sounds, echoes-train evaluate
    --precision int8 tells; what it gains on a machine, echoes-rt profile BUNDLE --compare int8.

    Example: echoes-export quantize my-bundle
    """
    from echoes_export.precision.quantize import add_int8_graphs
    from echoes_rt.bundle import Bundle
    from echoes_rt.comparison import compare, table
    from echoes_rt.model import Model

    asked = heldout_pictures(Bundle.open(folder), index, pictures)

    def accept(made: Path) -> None:
        fp32, int8 = (Model.load(made, "cpu", precision=name) for name in ("fp32", "int8"))
        click.echo(table(compare(fp32, int8, asked)))

    manifest = add_int8_graphs(folder, accept)
    size = sum(part.size_bytes for part in manifest.files.values())
    click.echo(f"\n{folder}: {size / 1e6:.2f} MB in {len(manifest.files) + 1} files")


def heldout_pictures(bundle: "Bundle", index: Path | None, count: int) -> "list[Array]":
    """Of an index; noise where there is none."""
    from echoes_rt.comparison import noise_pictures
    from echoes_rt.errors import InputError
    from echoes_rt.io.image import read_image
    from echoes_training.data.index import read_index

    if index is None:
        return noise_pictures(bundle.manifest.image, count)
    heldout = [clip.image for clip in read_index(index) if clip.split == "heldout" and clip.image]
    if not heldout:
        raise InputError(f"{index} has no held-out picture")
    return [read_image(path) for path in heldout[:: max(1, len(heldout) // count)][:count]]
