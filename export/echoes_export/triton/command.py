"""``echoes-export triton``."""

from pathlib import Path

import click


@click.command()
@click.argument("bundle", metavar="BUNDLE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option(
    "--max-batch",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Requests that are computed at once.",
)
@click.option(
    "--tensorrt", is_flag=True, help="The decoders and the vocoder by TensorRT, in float16."
)
@click.option("--overwrite", is_flag=True, help="Replace a repository that lies at --out.")
def triton(bundle: str, out: Path, max_batch: int, tensorrt: bool, overwrite: bool) -> None:
    """Make a Triton model repository of BUNDLE (experimental).

    BUNDLE is a folder, a zip or the name of a bundled one. The repository has an ensemble for each
    direction, image_to_audio and audio_to_image, which python -m echoes_export.triton.client asks.

    Example: echoes-export triton echoes-mini --out models
    """
    from echoes_export.triton.repository import write_repository
    from echoes_rt.bundle import find_bundle

    made = write_repository(
        find_bundle(bundle), out, max_batch=max_batch, tensorrt=tensorrt, overwrite=overwrite
    )
    click.echo(f"{out}: {', '.join(made)}")
