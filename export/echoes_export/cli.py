"""The ``echoes-export`` command: arguments in, one call, a table out."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from echoes_export.quantize_command import quantize
from echoes_rt.errors import EchoesError, InputError
from echoes_rt.spec.sampling import SamplingDefaults

if TYPE_CHECKING:
    from echoes_export.inputs import Inputs
    from echoes_export.models import Models
    from echoes_training.data.index import Clip

Command = TypeVar("Command", bound=Callable[..., Any])

_VERIFIED = 64
"""Pictures, and sounds, that a bundle is verified on."""


class _Group(click.Group):
    """Turns an EchoesError into one line on stderr and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EchoesError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echoes-rt", prog_name="echoes-export")
def main() -> None:
    """Turns trained models into a bundle that runs without PyTorch."""


main.add_command(quantize)


def _run_options(command: Command) -> Command:
    folder = click.Path(path_type=Path)
    for option in (
        click.option(
            "--index",
            type=folder,
            help="The index.jsonl written by echoes-train prepare: its held-out media verify the "
            "graphs. [default: noise verifies them]",
        ),
        click.option("--transformer", type=folder, required=True, help="Run of the transformer."),
        click.option("--vocoder", type=folder, required=True, help="Run of the vocoder."),
        click.option("--mel-vqgan", type=folder, required=True, help="Run of the mel codec."),
        click.option("--image-vqgan", type=folder, required=True, help="Run of the picture codec."),
    ):
        command = option(command)
    return command


@main.command()
@_run_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--name", default="echoes-mini", show_default=True)
@click.option("--license", "license_name", default="Apache-2.0", show_default=True)
@click.option("--description", default="", help="A sentence for the manifest.")
@click.option(
    "--model-card", type=click.Path(path_type=Path), help="Markdown. [default: a generated one]"
)
@click.option(
    "--sampling",
    multiple=True,
    metavar="KEY=VALUE",
    help="Recommend a setting of decoding, e.g. steps=12; may be repeated.",
)
@click.option(
    "--weights",
    type=click.Choice(["fp16", "fp32"]),
    default="fp16",
    show_default=True,
    help="How weights are stored; all computing is in fp32.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that lies at --out.")
def bundle(
    out: Path,
    name: str,
    license_name: str,
    description: str,
    model_card: Path | None,
    sampling: tuple[str, ...],
    weights: str,
    overwrite: bool,
    index: Path | None,
    **runs: Path,
) -> None:
    """Export the newest checkpoints of four runs as one bundle, verified against torch.

    Exit status 1, and no bundle, if a graph is out of tolerance.

    Example: echoes-export bundle --image-vqgan runs/image --mel-vqgan runs/mel
    --vocoder runs/vocoder --transformer runs/transformer --index data/index.jsonl --out bundle
    """
    from echoes_export.checks import table
    from echoes_export.labels import labels_of
    from echoes_export.models import Runs, load_models
    from echoes_export.precision import rounded
    from echoes_export.verify import rounding_effect
    from echoes_export.write_bundle import About, write_bundle

    about = About(
        name=name,
        license=license_name,
        description=description,
        sampling=_sampling_defaults(sampling),
        card="" if model_card is None else _read_text(model_card),
    )
    models = load_models(Runs(**runs))
    stored = rounded(models, weights)
    clips = _read_clips(index)
    inputs = _inputs(models, clips)
    manifest = write_bundle(
        out,
        stored,
        dataclasses.replace(about, labels=labels_of(clips)),
        weights=weights,
        accept=lambda folder: _verify(folder, stored, inputs),
        overwrite=overwrite,
    )
    if weights != "fp32":
        click.echo(f"\nWhat storing the weights in {weights} changes:")
        click.echo(table(rounding_effect(models, stored, inputs)))
    size = sum(part.size_bytes for part in manifest.files.values())
    click.echo(f"\n{out}: {size / 1e6:.2f} MB in {len(manifest.files) + 1} files")


@main.command()
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@_run_options
def verify(bundle_path: Path, index: Path | None, **runs: Path) -> None:
    """Compare the graphs of BUNDLE with the newest checkpoints of the runs it came from.

    Exit status 1 if a graph is out of tolerance.

    Example: echoes-export verify bundle --image-vqgan runs/image --mel-vqgan runs/mel
    --vocoder runs/vocoder --transformer runs/transformer --index data/index.jsonl
    """
    from echoes_export.models import Runs, load_models
    from echoes_export.precision import rounded
    from echoes_rt.bundle import Bundle

    weights = Bundle.open(bundle_path).manifest.graphs["step"].precision
    models = load_models(Runs(**runs))
    _verify(bundle_path, rounded(models, weights), _inputs(models, _read_clips(index)))


@main.command()
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
def fuse(bundle_path: Path) -> None:
    """Write the fused graphs of BUNDLE, from its own weights, and verify all graphs.

    For bundles of older versions, which lack them. All other files stay as they are.

    Example: echoes-export fuse echoes-mini
    """
    from echoes_export.stored_models import stored_models
    from echoes_export.write_bundle import add_fused_graphs
    from echoes_rt.bundle import Bundle

    models = stored_models(Bundle.open(bundle_path))
    inputs = _inputs(models, [])
    manifest = add_fused_graphs(
        bundle_path, models, accept=lambda folder: _verify(folder, models, inputs)
    )
    click.echo(f"\n{bundle_path}: {', '.join(manifest.graphs)}")


def _verify(folder: Path, stored: "Models", inputs: "Inputs") -> None:
    from echoes_export.checks import table
    from echoes_export.verify import verify_bundle
    from echoes_rt.bundle import Bundle

    checks = verify_bundle(Bundle.open(folder), stored, inputs)
    click.echo(table(checks))
    failed = [check.graph for check in checks if not check.is_ok]
    if failed:
        raise InputError(
            f"out of tolerance: {', '.join(failed)}; a bundle fits only the checkpoints that it "
            "was exported from"
        )


def _inputs(models: "Models", clips: "list[Clip]") -> "Inputs":
    from echoes_export.inputs import heldout_inputs, noise_inputs

    return heldout_inputs(clips, models, _VERIFIED) if clips else noise_inputs(models, _VERIFIED, 0)


def _read_clips(index: Path | None) -> "list[Clip]":
    from echoes_training.data.index import read_index

    return [] if index is None else read_index(index)


def _sampling_defaults(assignments: tuple[str, ...]) -> SamplingDefaults:
    defaults = SamplingDefaults()
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not hasattr(defaults, key):
            allowed = ", ".join(vars(defaults))
            raise InputError(f"--sampling needs KEY=VALUE with one of {allowed}, got {assignment}")
        kind = type(getattr(defaults, key))
        try:
            defaults = dataclasses.replace(defaults, **{key: kind(text)})
        except ValueError as error:
            raise InputError(f"--sampling {assignment}: {error}") from error
    return defaults


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the model card {path}: {error}") from error


if __name__ == "__main__":
    main()
