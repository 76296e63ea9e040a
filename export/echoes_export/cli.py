"""The ``echoes-export`` command: arguments in, one call, a table out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from echoes_export.precision.quantize_command import quantize
from echoes_export.tensorrt.command import engine
from echoes_rt.errors import EchoesError, InputError
from echoes_rt.install import missing_extra
from echoes_training import PRESET_NAMES

if TYPE_CHECKING:
    from collections.abc import Collection

    from echoes_export.bundle.models import Models
    from echoes_export.verify import Inputs
    from echoes_rt.bundle import Bundle

Command = TypeVar("Command", bound=Callable[..., Any])

_VERIFIED = 64
"""Pictures, and sounds, that a bundle is verified on."""
_VERIFIED_RANDOM = 2
"""The same, of untrained models, whose large sizes take minutes on a CPU."""


class _Group(click.Group):
    """Turns what a user can mend into one line on stderr and exit status 1, no traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EchoesError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            raise click.ClickException(str(missing_extra(error, "export"))) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echoes-rt", prog_name="echoes-export")
def main() -> None:
    """Turns trained models into a bundle that runs without PyTorch."""


main.add_command(engine)
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
        click.option(
            "--confidence",
            type=folder,
            help="What echoes-train confidence wrote: the bundle then tells pictures of what it "
            "does not know.",
        ),
        click.option(
            "--base",
            help="Folder, .zip or name of a bundle, whose models are taken where no run is given.",
        ),
        click.option("--transformer", type=folder, help="Run of the transformer."),
        click.option("--vocoder", type=folder, help="Run of the vocoder."),
        click.option("--mel-codec", type=folder, help="Run of the mel codec."),
        click.option("--image-codec", type=folder, help="Run of the picture codec."),
    ):
        command = option(command)
    return command


@main.command()
@_run_options
@click.option(
    "--random",
    type=click.Choice(PRESET_NAMES),
    help="No runs: untrained models of this preset, to measure what a size costs.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--name", help="[default: echoes-mini; BASE-tuned; echoes-PRESET-random]")
@click.option("--license", "license_name", help="[default: the base's, or Apache-2.0]")
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
@click.option(
    "--verify-on",
    type=click.IntRange(1, 10_000),
    help=f"Pictures, and sounds. [default: {_VERIFIED}; with --random {_VERIFIED_RANDOM}]",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that lies at --out.")
def bundle(
    out: Path,
    model_card: Path | None,
    sampling: tuple[str, ...],
    weights: str,
    verify_on: int | None,
    overwrite: bool,
    index: Path | None,
    confidence: Path | None,
    random: str | None,
    base: str | None,
    name: str | None,
    license_name: str | None,
    description: str,
    **runs: Path | None,
) -> None:
    """Export four runs as one bundle, verified against torch.

    Their newest checkpoints count. Exit status 1, and no bundle, if a graph is out of
    tolerance. With --base, runs that are not given are replaced by the models of that bundle,
    as after fine-tuning its transformer.

    Example: echoes-export bundle --image-codec runs/image --mel-codec runs/mel
    --vocoder runs/vocoder --transformer runs/transformer --index data/index.jsonl --out bundle
    """
    from echoes_export.bundle.about import About, labels_known, recommended
    from echoes_export.bundle.weights_file import rounded
    from echoes_export.bundle.write import write_bundle
    from echoes_export.verify import inputs_of, rounding_effect
    from echoes_rt.bundle import CARD_NAME, find_bundle
    from echoes_rt.comparison import table

    _check_sources(random, base, runs, confidence)
    based_on = None if base is None else find_bundle(base)
    based = None if based_on is None else based_on.manifest
    card = None if based_on is None else based_on.folder / CARD_NAME
    usual = f"echoes-{random}-random" if random else "echoes-mini"
    about = About(
        name=name or (f"{based.name}-tuned" if based else usual),
        license=license_name or (based.license if based else About.license),
        description=description,
        labels=labels_known(index, runs["transformer"], based),
        sampling=recommended(based, runs["transformer"], sampling),
        card="" if model_card is None else _read_text(model_card),
        base_card="" if card is None or not card.is_file() else _read_text(card),
    )
    models = _models(random, based_on, runs, confidence)
    stored = rounded(models, weights)
    inputs = inputs_of(index, models, verify_on or (_VERIFIED_RANDOM if random else _VERIFIED))
    manifest = write_bundle(
        out,
        stored,
        about,
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
def verify(
    bundle_path: Path,
    index: Path | None,
    confidence: Path | None,
    base: str | None,
    **runs: Path | None,
) -> None:
    """Compare the graphs of BUNDLE with the runs it came from.

    Their newest checkpoints count. Exit status 1 if a graph is out of tolerance.

    Example: echoes-export verify bundle --image-codec runs/image --mel-codec runs/mel
    --vocoder runs/vocoder --transformer runs/transformer --index data/index.jsonl
    """
    from echoes_export.bundle.weights_file import rounded
    from echoes_export.verify import inputs_of
    from echoes_rt.bundle import Bundle, find_bundle

    _check_sources(None, base, runs, confidence)
    weights = Bundle.open(bundle_path).manifest.graphs["image_encoder"].precision
    models = _models(None, None if base is None else find_bundle(base), runs, confidence)
    inputs = inputs_of(index, models, _VERIFIED)
    _verify(bundle_path, rounded(models, weights), inputs)


@main.command()
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Inputs of noise on which the change is measured.",
)
@click.option(
    "--device",
    help="cuda or webgpu: keep only what it runs faster in float16. Default: keep all.",
)
def half(bundle_path: Path, pictures: int, device: str | None) -> None:
    """Add graphs to BUNDLE that compute in float16, for GPUs.

    They read the same weights. Prints how far they move what each graph gives, on noise.
    Devices cuda and webgpu run them from then on. Build TensorRT engines afterwards: older ones
    are then stale.

    Example: echoes-export half my-bundle --device cuda
    """
    from echoes_export.precision.half_bundle import add_half_graphs, faster
    from echoes_rt.comparison import compare_bundles, noise_pictures, table

    def choose(whole: "Bundle", halves: "Bundle") -> "Collection[str]":
        asked = noise_pictures(whole.manifest.image, pictures)
        click.echo(table(compare_bundles(whole, halves, asked)))
        if device is None:
            return halves.manifest.graphs
        return faster(whole, halves, device, click.echo)

    manifest = add_half_graphs(bundle_path, choose)
    click.echo(f"\n{bundle_path}: {', '.join(manifest.graphs)}")


@main.command()
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


def _verify(folder: Path, stored: "Models", inputs: "Inputs") -> None:
    from echoes_export.verify import verify_bundle
    from echoes_rt.bundle import Bundle
    from echoes_rt.comparison import table

    checks = verify_bundle(Bundle.open(folder), stored, inputs)
    click.echo(table(checks))
    failed = [check.graph for check in checks if not check.is_ok]
    if failed:
        raise InputError(
            f"out of tolerance: {', '.join(failed)}; a bundle fits only the checkpoints that it "
            "was exported from"
        )


def _check_sources(
    random: str | None, base: str | None, runs: dict[str, Path | None], confidence: Path | None
) -> None:
    missing = [f"--{name.replace('_', '-')}" for name, run in runs.items() if run is None]
    given = len(runs) - len(missing) + (confidence is not None)
    if random and (given or base):
        raise click.UsageError("--random makes its own models; give it without runs and --base")
    if base and not given:
        raise click.UsageError("--base alone would export the same bundle; give a run with it")
    if missing and not (base or random):
        raise click.UsageError(f"missing {', '.join(missing)}; give it, or --base, a bundle")


def _models(
    random: str | None, base: "Bundle | None", runs: dict[str, Path | None], confidence: Path | None
) -> "Models":
    from echoes_export.bundle.models import random_models, stored_models
    from echoes_export.bundle.run_models import Runs, load_models
    from echoes_training.presets import PRESETS

    if random:
        return random_models(PRESETS[random], seed=0)
    return load_models(Runs(**runs), None if base is None else stored_models(base), confidence)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the model card {path}: {error}") from error


if __name__ == "__main__":
    main()
