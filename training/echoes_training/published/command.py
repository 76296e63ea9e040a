"""The command ``echoes-train import``: a published checkpoint in, a run of ours out."""

from pathlib import Path

import click

from echoes_rt.errors import InputError

LAYOUT_NAMES = ("taming", "maskgit", "specvqgan", "melgan")


@click.command("import")
@click.argument("layout", type=click.Choice(LAYOUT_NAMES))
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    "run",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the new run.",
)
def import_command(layout: str, checkpoint: Path, run: Path) -> None:
    """Turn a published CHECKPOINT into a run.

    tokenize and export take such a run. taming is the picture codec vqgan_imagenet_f16_1024,
    maskgit that of MaskGIT and MAGE, specvqgan the sound codec of SpecVQGAN's VGGSound models,
    melgan their vocoder. Nothing in the file is ever run.

    Example: echoes-train import specvqgan last.ckpt --out runs/mel
    """
    n_tensors, n_dropped = import_checkpoint(layout, checkpoint, run)
    click.echo(f"{n_tensors} tensors; {n_dropped} of training alone were left out", err=True)
    click.echo(str(run))


def import_checkpoint(name: str, path: Path, run: Path) -> tuple[int, int]:
    """Writes the run; returns how many tensors it has and how many were left out.

    Raises:
        InputError: if the run exists, or the file is not that checkpoint to the last tensor.
    """
    from echoes_training import checkpoint
    from echoes_training.checkpoint import TrainState
    from echoes_training.config import to_dict
    from echoes_training.published.layouts import LAYOUTS, convert
    from echoes_training.published.read_tensors import read_tensors
    from echoes_training.stages.codecs import CODEC

    if checkpoint.newest(run) is not None:
        raise InputError(f"{run} holds a run already; pass another --out")
    layout = LAYOUTS[name]
    tensors = read_tensors(path)
    try:
        converted = convert(tensors, layout)
    except InputError as error:
        raise InputError(f"{path} is not a {name} checkpoint: {error}") from error
    origin = {"layout": name, "file": path.name, "left_out": converted.n_dropped}
    checkpoint.save_config(
        run, {"stage": layout.stage, "config": to_dict(layout.config), "imported": origin}
    )
    file_name = "vocoder" if layout.stage == "vocoder" else CODEC
    checkpoint.save(run, 0, TrainState(modules={file_name: converted.module}, optimizers={}))
    return len(tensors) - converted.n_dropped, converted.n_dropped
