"""``echoes-export quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from echoes_rt.bundle import Bundle
    from echoes_rt.comparison import Array


@click.command()
@click.argument("bundle", metavar="BUNDLE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--name", help="Of the new bundle. [default: the old one's, and -int8]")
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
    bundle: str,
    out: Path,
    name: str | None,
    index: Path | None,
    pictures: int,
    overwrite: bool,
) -> None:
    """Make an int8 bundle of BUNDLE, for CPUs.

    The transformer's matrices become 8-bit integers. BUNDLE is a folder, a zip or the name of a
    bundled one.

    Prints how far its scores and tokens move. What that does to the sounds, echoes-train evaluate
    tells; what it gains on a machine, echoes-rt profile BUNDLE --compare OUT.

    Example: echoes-export quantize echoes-mini --out echoes-mini-int8
    """
    from echoes_export.precision.quantize import quantize_bundle
    from echoes_rt.bundle import Bundle, find_bundle
    from echoes_rt.comparison import compare_bundles, table

    before = find_bundle(bundle)
    asked = heldout_pictures(before, index, pictures)

    def accept(folder: Path) -> None:
        click.echo(table(compare_bundles(before, Bundle.open(folder), asked)))

    manifest = quantize_bundle(
        before,
        out,
        name or f"{before.manifest.name}-int8",
        accept=accept,
        overwrite=overwrite,
    )
    size = sum(part.size_bytes for part in manifest.files.values())
    click.echo(f"\n{out}: {size / 1e6:.2f} MB in {len(manifest.files) + 1} files")


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
