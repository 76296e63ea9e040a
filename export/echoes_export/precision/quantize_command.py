"""``echoes-export quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from echoes_rt.comparison import Array


@click.command()
@click.argument("bundle", metavar="BUNDLE")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to make, of a bundle in int8 alone. [default: BUNDLE gets the graphs]",
)
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
@click.option("--overwrite", is_flag=True, help="Replace a bundle that lies at --out.")
def quantize(
    bundle: str, out: Path | None, index: Path | None, pictures: int, overwrite: bool
) -> None:
    """Make int8 graphs of BUNDLE, for CPUs.

    Transformer and vocoder multiply in 8-bit integers there. BUNDLE, a folder, gets them beside its
    own, for Python to choose from. With --out a new bundle has them instead, which is int8 in every
    language; BUNDLE may then be a zip or a bundled name.

    Prints how far scores and tokens move. What that does to the sounds, echoes-train evaluate
    --precision int8 tells; what it gains on a machine, echoes-rt profile BUNDLE --compare, with
    int8 or with OUT.

    \b
    Example: echoes-export quantize my-bundle
             echoes-export quantize echoes-mini --out echoes-mini-int8
    """  # noqa: D301 - \b keeps click from joining the lines
    from echoes_export.precision.quantize import add_int8_graphs, write_int8_bundle
    from echoes_rt.bundle import Bundle, find_bundle
    from echoes_rt.comparison import compare, noise_pictures, table
    from echoes_rt.model import Model

    # Nobody asks for a change of what is installed.
    before = Bundle.open(bundle) if out is None else find_bundle(bundle)
    asked = pictures_of(index, "heldout", pictures)
    asked = asked or noise_pictures(before.manifest.image, pictures)

    def accept(made: Path) -> None:
        fp32, int8 = Model.load(before, "cpu"), Model.load(made, "cpu", precision="int8")
        click.echo(table(compare(fp32, int8, asked)))

    if out is None:
        manifest = add_int8_graphs(before.source, accept)
    else:
        manifest = write_int8_bundle(before, out, accept, overwrite=overwrite)
    size = sum(part.size_bytes for part in manifest.files.values())
    click.echo(f"\n{out or bundle}: {size / 1e6:.2f} MB in {len(manifest.files) + 1} files")


def pictures_of(index: Path | None, split: str, count: int) -> "list[Array]":
    """Up to ``count`` different pictures of a split, from all over an index; without one, none.

    Raises:
        InputError: if the index has no picture of that split.
    """
    from echoes_rt.errors import InputError
    from echoes_rt.io.image import read_image
    from echoes_training.data.index import read_index

    clips = [] if index is None else read_index(index)
    paths = [*dict.fromkeys(clip.image for clip in clips if clip.split == split and clip.image)]
    if index is not None and not paths:
        raise InputError(f"{index} has no picture of the split {split}")
    return [read_image(path) for path in paths[:: max(1, len(paths) // count)][:count]]
