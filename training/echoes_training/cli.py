"""The ``echoes-train`` command: arguments in, one call."""

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echoes_rt.errors import EchoesError, InputError
from echoes_rt.install import missing_extra
from echoes_training import DEFAULT_PRESET, PRESET_NAMES
from echoes_training.av_metrics.command import metrics
from echoes_training.cost_command import cost
from echoes_training.data.prepare import prepare
from echoes_training.evaluate.commands import ablate, confidence, evaluate, listen, probe
from echoes_training.evaluate.dials import count_option, ear_option, index_option
from echoes_training.published.command import import_command

if TYPE_CHECKING:
    from echoes_training.data.index import Clip
    from echoes_training.stages.codecs import TrainedCodec

    Codecs = tuple[TrainedCodec, TrainedCodec]


class _Group(click.Group):
    """Turns what a user can mend into one line on stderr and exit status 1, no traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EchoesError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            raise click.ClickException(str(missing_extra(error, "training"))) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echoes-rt")
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
def main(verbose: bool) -> None:
    """Trains the models of echoes-rt: data, two codecs, a vocoder, a transformer."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")


main.add_command(cost)
main.add_command(confidence)
main.add_command(prepare)
main.add_command(evaluate)
main.add_command(probe)
main.add_command(ablate)
main.add_command(listen)
main.add_command(metrics)
main.add_command(import_command)


def _next_command(stage: str, run: Path) -> str:
    """What a user types when ``stage``, a command's function, has trained ``run``."""
    from echoes_training.checkpoint import config_file, load_config

    medium, _, part = stage.partition("_")
    if part == "codec":
        return f"echoes-train tokenize --{medium}-codec {run} ..., when both codecs are trained"
    option = "mel-codec" if part == "decoder" else "transformer"
    base = load_config(run).get("start_from")
    if base is not None and not config_file(Path(base)).is_file():
        return f"echoes-export bundle --base {base} --{option} {run} --out FOLDER"
    return "echoes-export bundle, when all four models are trained"


def run_options(train: Callable[..., None]) -> Callable[..., None]:
    """The options of every training stage, and a line at its end that says what comes next."""

    @functools.wraps(train)
    def function(**options: Any) -> None:
        train(**options)
        if os.environ.get("RANK", "0") == "0":  # of many processes one speaks
            run = options["run"]
            click.echo(f"{run} is trained; next: {_next_command(train.__name__, run)}", err=True)

    options = [
        click.option(
            "--out",
            "run",
            type=click.Path(path_type=Path, file_okay=False),
            required=True,
            help="Folder of the run: settings, metrics, samples, checkpoint.",
        ),
        click.option(
            "--preset",
            type=click.Choice(PRESET_NAMES),
            show_default=DEFAULT_PRESET,
            help="Size of the model, and the settings that go with it.",
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override one setting, e.g. loop.steps=100; may be repeated.",
        ),
        click.option(
            "--resume",
            is_flag=False,
            flag_value="run",
            type=click.Choice(["run", "auto"]),
            help="Go on with the run at --out, with the settings that it began with; with "
            "--resume=auto begin it if there is none.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _begin(command: str, index: Path, options: dict[str, Any]) -> "tuple[Path, list[Clip], Any]":
    """The run, whose settings are written, the clips of the index, and the settings."""
    from echoes_training.config import to_dict
    from echoes_training.data.index import read_index
    from echoes_training.stages.settings import Asked, configure, save_settings

    asked = Asked(command=command, **options)
    config = configure(asked)
    clips = read_index(index)
    save_settings(asked, config.loop, {"config": to_dict(config)})
    return asked.run, clips, config


@main.command("image-codec")
@index_option
@run_options
def image_codec(index: Path, **options: Any) -> None:
    """Train the picture codec.

    With a pretrained teacher, or with the presets tiny, base and large a VQGAN.

    Example: echoes-train image-codec --index data/index.jsonl --out runs/image
    """
    run, clips, config = _begin("image-codec", index, options)
    if config.model.architecture == "vqgan":
        from echoes_training.stages.media import Pictures
        from echoes_training.stages.vqgan import train_vqgan

        train_vqgan(run, Pictures(clips, config), config)
    else:
        from echoes_training.stages.image_codec import train_image_codec

        train_image_codec(run, clips, config)


_RUN = click.Path(path_type=Path, exists=True, file_okay=False)


@main.command("mel-codec")
@index_option
@ear_option
@run_options
def mel_codec(index: Path, ear: Path | None, **options: Any) -> None:
    """Train the codec of log-mels.

    Its decoder draws texture; with the presets tiny, base and large it is a VQGAN, without --ear.

    Example: echoes-train mel-codec --index data/index.jsonl --out runs/mel
    """
    run, clips, config = _begin("mel-codec", index, options)
    if config.model.architecture == "vqgan":
        if ear is not None:
            raise InputError("the ear hears no VQGAN; leave --ear out, or pass another --preset")
        from echoes_training.stages.media import Mels
        from echoes_training.stages.vqgan import train_vqgan

        train_vqgan(run, Mels(clips, config), config)
    else:
        from echoes_training.stages.mel_codec import train_mel_codec

        train_mel_codec(run, clips, config, ear)


@main.command("mel-decoder")
@index_option
@click.option(
    "--codec",
    required=True,
    help="Run or bundle of the mel codec whose decoder is to be better; its codes stay.",
)
@ear_option
@run_options
def mel_decoder(index: Path, codec: str, ear: Path | None, **options: Any) -> None:
    """Train the decoder of a mel codec alone.

    Discriminators look at what a pretrained network of pictures (extra teacher) sees in log-mels.
    The run takes the place of the codec's: tokens and transformers of the codec stay good.

    Example: echoes-train mel-decoder --index data/index.jsonl --codec runs/mel
    --out runs/mel-decoder
    """
    from echoes_training.bundles import open_source
    from echoes_training.config import to_dict
    from echoes_training.data.index import read_index
    from echoes_training.stages.mel_decoder import mel_codec_of, of_codec, train_mel_decoder
    from echoes_training.stages.settings import Asked, configure, save_settings

    asked = Asked(command="mel-decoder", start_from=codec, start_option="--codec", **options)
    config = configure(asked)
    start = mel_codec_of(open_source(codec))
    config = of_codec(config, start)
    clips = read_index(index)
    facts = {"stage": "mel_codec", "config": to_dict(config), "start_from": codec}
    save_settings(asked, config.loop, facts)
    train_mel_decoder(asked.run, clips, config, start, ear)


@main.command()
@index_option
@ear_option
@run_options
def vocoder(index: Path, ear: Path | None, **options: Any) -> None:
    """Train the vocoder, which turns log-mels into sound.

    Example: echoes-train vocoder --index data/index.jsonl --out runs/vocoder
    """
    from echoes_training.stages.vocoder import train_vocoder

    run, clips, config = _begin("vocoder", index, options)
    train_vocoder(run, clips, config, ear)


@main.command("tokenize")
@click.option(
    "--index",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The index.jsonl written by echoes-train prepare.",
)
@click.option(
    "--shards", type=_RUN, help="Instead: the folder written by echoes-train prepare videos."
)
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, exists=True),
    help="Instead: a table or folder of your own pairs, as echoes-train prepare pairs reads it.",
)
@click.option("--image-codec", "image_run", type=_RUN, help="Run of the picture codec.")
@click.option("--mel-codec", "mel_run", type=_RUN, help="Run of the mel codec.")
@click.option("--codecs", help="Instead of both runs: a bundle that holds them, or its name.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The cache, a .safetensors file.",
)
@count_option("--image-views", 16, "Views of each picture.")
@count_option("--audio-views", 12, "Views of each sound.")
@count_option("--unpaired-views", 2, "Views of what has no partner.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="What draws the views."
)
def tokenize_command(
    index: Path | None,
    shards: Path | None,
    pairs: Path | None,
    image_run: Path | None,
    mel_run: Path | None,
    codecs: str | None,
    out: Path,
    **views: int,
) -> None:
    """Cache the codes of every picture and sound.

    Each is cached in many augmented views. Of shards, each frame of a clip is a view of its
    picture, and the sound is taken as it is; the options for views and the seed do not count. Run
    it again after an interruption: whole shards are kept.

    Example: echoes-train tokenize --index data/index.jsonl --image-codec runs/image
    --mel-codec runs/mel --out runs/tokens.safetensors
    """
    if sum(source is not None for source in (index, shards, pairs)) != 1:
        raise click.UsageError("pass one of --index, --shards and --pairs")
    image, mel = _codecs(image_run, mel_run, codecs)
    if shards is not None:
        from echoes_training.stages.tokenize_shards import tokenize_shards

        tokenize_shards(shards, image, mel, out)
    else:
        from echoes_training.stages.tokenize import tokenize

        tokenize(_clips(index, pairs), image, mel, **views).save(out)
    click.echo(str(out))
    start = "" if codecs is None else f" --start-from {codecs}"
    click.echo(f"next: echoes-train transformer --tokens {out}{start} --out RUN", err=True)


def _clips(index: Path | None, pairs: Path | None) -> "list[Clip]":
    """Of an index, or of a user's table, whose unusable rows are named."""
    from echoes_training.data.index import read_index
    from echoes_training.data.prepare import usable_pairs

    if index is not None:
        return read_index(index)
    assert pairs is not None
    return usable_pairs(pairs)


def _codecs(image_run: Path | None, mel_run: Path | None, bundle: str | None) -> "Codecs":
    from echoes_training.bundles import open_source
    from echoes_training.stages.codecs import codec_of_run, codecs_of_bundle

    if bundle is not None and image_run is None and mel_run is None:
        return codecs_of_bundle(open_source(bundle))
    if bundle is None and image_run is not None and mel_run is not None:
        return codec_of_run(image_run), codec_of_run(mel_run)
    raise click.UsageError("pass --image-codec and --mel-codec, or --codecs alone")


tokens_option = click.option(
    "--tokens",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The cache written by echoes-train tokenize.",
)


@main.command()
@tokens_option
@click.option(
    "--start-from",
    help="Fine-tune: begin with the weights of this run or bundle, whose codecs made the tokens. "
    "Takes its shape, a thirtieth of the preset's steps and a fifth of its learning rate.",
)
@run_options
def transformer(tokens: Path, start_from: str | None, **options: Any) -> None:
    """Train the masked transformer on cached codes.

    Example: echoes-train transformer --tokens runs/tokens.safetensors --out runs/transformer
    """
    from echoes_training.bundles import open_source
    from echoes_training.config import to_dict
    from echoes_training.data.tokens import TokenCache
    from echoes_training.stages.codebooks import check_tokens
    from echoes_training.stages.settings import Asked, configure, save_settings, start_of
    from echoes_training.stages.transformer import train_transformer

    asked = Asked(command="transformer", start_from=start_from, **options)
    begins_from = start_of(asked)
    start = None if begins_from is None else open_source(begins_from)
    config = configure(asked, start)
    cache = TokenCache.load(tokens)
    check_tokens(tokens, cache, asked.run, start)
    facts = {"config": to_dict(config), "start_from": start_from, "labels": cache.labels}
    save_settings(asked, config.loop, facts)
    train_transformer(asked.run, cache, config, None if start is None else start.folder)


@main.command()
@tokens_option
@click.option(
    "--teacher",
    required=True,
    help="Run or bundle of the transformer, of context form, that the student learns from and "
    "starts as; its codecs made the tokens.",
)
@run_options
def distill(tokens: Path, teacher: str, **options: Any) -> None:
    """Train a transformer to decode in few passes, unguided.

    The student answers in each of its passes, without guidance, what the guided teacher comes to
    in its own, more steps: for either medium, from nothing or from a part, with and without the
    other medium.

    Example: echoes-train distill --teacher runs/transformer --tokens runs/tokens.safetensors
    --out runs/student
    """
    from echoes_training.bundles import open_source
    from echoes_training.config import to_dict
    from echoes_training.data.tokens import TokenCache
    from echoes_training.stages.codebooks import check_tokens
    from echoes_training.stages.distill import distill as train_student
    from echoes_training.stages.distill import student_of
    from echoes_training.stages.settings import Asked, configure, save_settings

    asked = Asked(command="distill", start_from=teacher, start_option="--teacher", **options)
    source = open_source(teacher)
    config = configure(asked)
    student = student_of(source, config)
    cache = TokenCache.load(tokens)
    check_tokens(tokens, cache, asked.run, source)
    facts = {
        # The result is a transformer like any other, and its settings say so.
        "stage": "transformer",
        "config": to_dict(student),
        "distill": to_dict(config),
        "start_from": teacher,
        "labels": cache.labels,
    }
    save_settings(asked, config.loop, facts)
    train_student(asked.run, cache, config, student, source.folder)


if __name__ == "__main__":
    main()
