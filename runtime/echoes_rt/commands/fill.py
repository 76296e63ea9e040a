"""Filling in parts of what is given, going on from it, and varying it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from echoes_rt.commands.files import STANDARD, read_source
from echoes_rt.commands.verb import FILE, Verb, start_option, verb_options
from echoes_rt.errors import InputError

if TYPE_CHECKING:
    from echoes_rt.io.source_file import SourceFile


@click.command()
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--from", "start", type=float, metavar="SECONDS", help="Start of the part to replace."
)
@click.option("--to", "stop", type=float, metavar="SECONDS", help="End of the part to replace.")
@click.option("--mask", type=FILE, help="Picture of the same size, white where to replace.")
@click.option("--image", type=FILE, help="Picture that the new sound should match.")
@click.option("--sound", type=FILE, help="Sound that the new part of a picture should match.")
@verb_options
def inpaint(
    verb: Verb,
    source: Path,
    out: Path,
    start: float | None,
    stop: float | None,
    mask: Path | None,
    image: Path | None,
    sound: Path | None,
) -> None:
    """Replace a part of a sound or picture; the rest stays as it is.

    A sound needs --from and --to, a picture needs --mask.

    \b
    Example: echoes-rt inpaint in.wav out.wav --from 1.2 --to 2.4 --image dog.jpg
             echoes-rt inpaint in.png out.png --mask mask.png
    """  # noqa: D301 - \b keeps click from joining the lines
    given = read_source(source)
    if _same_medium(given, out, mask, image, sound):
        if start is None or stop is None or mask is not None or sound is not None:
            raise InputError(
                "inpaint of a sound needs --from and --to, and takes --image; --mask and --sound "
                "are for pictures"
            )
        part = {"start": start, "stop": stop, "image": image}
        verb.make(out, lambda echoes, **options: echoes.inpaint(given, **part, **options))
    else:
        if mask is None or start is not None or stop is not None or image is not None:
            raise InputError(
                "inpaint of a picture needs --mask, and takes --sound; --from, --to and --image "
                "are for sounds"
            )
        verb.make(
            out,
            lambda echoes, **options: echoes.inpaint_image(given, mask, audio=sound, **options),
        )


@click.command("continue")
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--duration",
    type=float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Length to add.",
)
@click.option("--image", type=FILE, help="Picture that the new sound should match.")
@verb_options
def continue_(verb: Verb, source: Path, out: Path, duration: float, image: Path | None) -> None:
    """Continue a sound: write it and what could follow.

    Example: echoes-rt continue rain.wav long.wav --duration 20
    """
    from echoes_rt.io.sources import is_sound
    from echoes_rt.tasks.stream import MAX_HELD_S, check_duration

    given = read_source(source)
    if not is_sound(given):
        raise InputError(f"continue needs a sound, got {source}; use generate for a picture")
    _same_medium(given, out, image)
    check_duration(duration, MAX_HELD_S)
    more = {"duration": duration, "image": image}
    verb.make(out, lambda echoes, **options: echoes.continue_(given, **more, **options), duration)


@click.command()
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--keep",
    type=float,
    default=0.5,
    show_default=True,
    metavar="SHARE",
    help="Fraction of its codes to keep, 0 to 1.",
)
@start_option
@verb_options
def vary(verb: Verb, source: Path, out: Path, keep: float, start: float) -> None:
    """Make a variant of a sound or of a picture.

    Example: echoes-rt vary dog.wav other.wav --keep 0.3
    """
    given = read_source(source)
    _same_medium(given, out)
    verb.make(out, lambda echoes, **options: echoes.vary(given, keep=keep, start=start, **options))


def _same_medium(source: SourceFile, out: Path, *others: Path | None) -> bool:
    """Whether both are sounds; checks that OUT can be written and is of SOURCE's medium.

    Raises:
        InputError: if not, or if OUT is SOURCE or one of ``others``.
    """
    from echoes_rt.io.audio import check_sound_path
    from echoes_rt.io.image import check_image_path
    from echoes_rt.io.output_file import check_not_input
    from echoes_rt.io.sources import is_sound

    is_heard = is_sound(source)
    if out != STANDARD:
        (check_sound_path if is_heard else check_image_path)(out)
        check_not_input(out, [file for file in (source, *others) if isinstance(file, Path)])
    return is_heard
