"""The ``echoes-train`` command: arguments in, one call."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from echoes_rt.errors import EchoesError
from echoes_training.av_metrics.command import metrics
from echoes_training.cost_command import cost
from echoes_training.data.prepare import prepare
from echoes_training.evaluate.ablate_command import ablate
from echoes_training.evaluate.command import evaluate
from echoes_training.published.command import import_command

PRESET_NAMES = ("tiny", "mini", "base", "large")

F = TypeVar("F", bound=Callable[..., None])


class _Group(click.Group):
    """Turns an EchoesError into one line on stderr and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EchoesError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echoes-rt")
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
def main(verbose: bool) -> None:
    """Trains the models of echoes-rt: data, two codecs, a vocoder, a transformer."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")


main.add_command(cost)
main.add_command(prepare)
main.add_command(evaluate)
main.add_command(ablate)
main.add_command(metrics)
main.add_command(import_command)


def run_options(function: F) -> F:
    """The options that every training stage has."""
    options = [
        click.option(
            "--out",
            "run",
            type=click.Path(path_type=Path, file_okay=False),
            required=True,
            help="Folder of the run: settings, metrics, samples, checkpoint.",
        ),
        click.option(
            "--preset", type=click.Choice(PRESET_NAMES), default="mini", show_default=True
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override one setting, e.g. loop.steps=100; may be repeated.",
        ),
        click.option("--resume", is_flag=True, help="Go on from the run's newest checkpoint."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


index_option = click.option(
    "--index",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The index.jsonl written by echoes-train prepare.",
)


def _configure(
    stage: str, run: Path, preset: str, assignments: tuple[str, ...], resume: bool
) -> Any:
    """The resolved settings of a stage, saved with its run."""
    from echoes_training.config import override
    from echoes_training.presets import PRESETS
    from echoes_training.stages.loop import resolve, start_run

    config = override(getattr(PRESETS[preset], stage), assignments)
    loop, processes = resolve(config.loop, run)
    config = dataclasses.replace(config, loop=loop)
    start_run(run, config, stage, processes, resume=resume)
    return config


@main.command("image-vqgan")
@index_option
@run_options
def image_vqgan(
    index: Path, run: Path, preset: str, assignments: tuple[str, ...], resume: bool
) -> None:
    """Train the picture codec.

    Example: echoes-train image-vqgan --index data/index.jsonl --out runs/image
    """
    from echoes_training.data.index import read_index
    from echoes_training.stages.vqgan import Pictures, train_vqgan

    config = _configure("image_vqgan", run, preset, assignments, resume)
    train_vqgan(run, Pictures(read_index(index), config), config)


@main.command("mel-vqgan")
@index_option
@run_options
def mel_vqgan(
    index: Path, run: Path, preset: str, assignments: tuple[str, ...], resume: bool
) -> None:
    """Train the log-mel codec.

    Example: echoes-train mel-vqgan --index data/index.jsonl --out runs/mel
    """
    from echoes_training.data.index import read_index
    from echoes_training.stages.vqgan import Mels, train_vqgan

    config = _configure("mel_vqgan", run, preset, assignments, resume)
    train_vqgan(run, Mels(read_index(index), config), config)


def _refine(
    medium_name: str,
    codec_run: Path,
    index: Path,
    run: Path,
    preset: str,
    assignments: tuple[str, ...],
    resume: bool,
) -> None:
    from echoes_training.checkpoint import load_config, save_config
    from echoes_training.config import to_dict
    from echoes_training.data.index import read_index
    from echoes_training.processes import Processes
    from echoes_training.stages import vqgan
    from echoes_training.stages.refine import refine
    from echoes_training.stages.tokenize import load_codec

    config = _configure("refine", run, preset, assignments, resume)
    model, codec = load_codec(codec_run)
    # The result is a codec like any other: its settings are those of the codec it began as.
    if Processes(config.loop.device).is_main:
        save_config(run, {**load_config(codec_run), "refine": to_dict(config)})
    medium = getattr(vqgan, medium_name)(read_index(index), codec)
    head = vqgan.load_head(codec_run, medium, codec)
    refine(run, medium, model, head, codec, config)


_RUN = click.Path(path_type=Path, exists=True, file_okay=False)

codec_option = click.option("--codec", type=_RUN, required=True, help="Run of the codec to refine.")


@main.command("refine-image")
@index_option
@codec_option
@run_options
def refine_image(index: Path, codec: Path, **options: Any) -> None:
    """Train only the decoder of a picture codec, with a discriminator; the codes stay.

    Example: echoes-train refine-image --codec runs/image --index data/index.jsonl --out runs/image2
    """
    _refine("Pictures", codec, index, **options)


@main.command("refine-mel")
@index_option
@codec_option
@run_options
def refine_mel(index: Path, codec: Path, **options: Any) -> None:
    """Train only the decoder of a mel codec, with a discriminator; the codes stay.

    Example: echoes-train refine-mel --codec runs/mel --index data/index.jsonl --out runs/mel2
    """
    _refine("Mels", codec, index, **options)


@main.command()
@index_option
@run_options
def vocoder(
    index: Path, run: Path, preset: str, assignments: tuple[str, ...], resume: bool
) -> None:
    """Train the vocoder, which turns log-mels into sound.

    Example: echoes-train vocoder --index data/index.jsonl --out runs/vocoder
    """
    from echoes_training.data.index import read_index
    from echoes_training.stages.vocoder import train_vocoder

    config = _configure("vocoder", run, preset, assignments, resume)
    train_vocoder(run, read_index(index), config)


@main.command("tokenize")
@index_option
@click.option("--image-vqgan", type=_RUN, required=True, help="Run of the picture codec.")
@click.option("--mel-vqgan", type=_RUN, required=True, help="Run of the mel codec.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--image-views", type=click.IntRange(1), default=16, show_default=True)
@click.option("--audio-views", type=click.IntRange(1), default=8, show_default=True)
@click.option("--unpaired-views", type=click.IntRange(1), default=2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def tokenize_command(
    index: Path,
    image_vqgan: Path,
    mel_vqgan: Path,
    out: Path,
    image_views: int,
    audio_views: int,
    unpaired_views: int,
    seed: int,
) -> None:
    """Cache the codes of every picture and sound, in many augmented views.

    Example: echoes-train tokenize --index data/index.jsonl --image-vqgan runs/image
    --mel-vqgan runs/mel --out runs/tokens.safetensors
    """
    from echoes_training.data.index import read_index
    from echoes_training.stages.tokenize import tokenize

    cache = tokenize(
        read_index(index),
        image_vqgan,
        mel_vqgan,
        image_views=image_views,
        audio_views=audio_views,
        unpaired_views=unpaired_views,
        seed=seed,
    )
    cache.save(out)
    click.echo(str(out))


@main.command()
@click.option(
    "--tokens",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The cache written by echoes-train tokenize.",
)
@click.option(
    "--start-from",
    type=_RUN,
    help="Fine-tune: begin with the weights of this run or bundle, whose codecs made the tokens.",
)
@run_options
def transformer(
    tokens: Path,
    start_from: Path | None,
    run: Path,
    preset: str,
    assignments: tuple[str, ...],
    resume: bool,
) -> None:
    """Train the masked transformer on cached codes.

    Example: echoes-train transformer --tokens runs/tokens.safetensors --out runs/transformer
    """
    from echoes_training.data.tokens import TokenCache
    from echoes_training.stages.transformer import train_transformer

    config = _configure("transformer", run, preset, assignments, resume)
    train_transformer(run, TokenCache.load(tokens), config, start_from)


if __name__ == "__main__":
    main()
