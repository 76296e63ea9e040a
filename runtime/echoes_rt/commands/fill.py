"""Filling in parts of what is given, going on from it, and varying it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from echoes_rt.commands.options import FILE, verb_options
from echoes_rt.commands.progress import progress
from echoes_rt.commands.report import describe, show
from echoes_rt.errors import InputError


@click.command()
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option("--from", "start", type=float, metavar="SECONDS", help="Where the new part begins.")
@click.option("--to", "stop", type=float, metavar="SECONDS", help="Where the new part ends.")
@click.option("--mask", type=FILE, help="Of a picture: as large as it, white where it is new.")
@click.option("--image", type=FILE, help="A picture of what is to be heard in the new part.")
@click.option("--sound", type=FILE, help="A sound of what is to be seen in the new part.")
@verb_options
def inpaint(
    source: Path,
    out: Path,
    start: float | None,
    stop: float | None,
    mask: Path | None,
    image: Path | None,
    sound: Path | None,
    bundle: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make a part of a sound or of a picture anew; all else stays as it is.

    A sound needs --from and --to, a picture needs --mask.

    \b
    Example: echoes-rt inpaint in.wav out.wav --from 1.2 --to 2.4 --image dog.jpg
             echoes-rt inpaint in.png out.png --mask mask.png
    """  # noqa: D301 - \b keeps click from joining the lines
    from echoes_rt.pipeline import Echoes, Picture, Sound

    begin = time.perf_counter()
    is_sound = _same_medium(source, out, mask, image, sound)
    made: Sound | Picture
    if is_sound:
        if start is None or stop is None or mask is not None or sound is not None:
            raise InputError(
                "inpaint of a sound needs --from and --to, and takes --image; --mask and --sound "
                "are for pictures"
            )
        echoes = Echoes.load(bundle, device=device, threads=threads)
        with progress(quiet=quiet) as on_step:
            made = echoes.inpaint(
                source, start=start, stop=stop, image=image, on_step=on_step, **options
            )
    else:
        if mask is None or start is not None or stop is not None or image is not None:
            raise InputError(
                "inpaint of a picture needs --mask, and takes --sound; --from, --to and --image "
                "are for sounds"
            )
        echoes = Echoes.load(bundle, device=device, threads=threads)
        with progress(quiet=quiet) as on_step:
            made = echoes.inpaint_image(source, mask, audio=sound, on_step=on_step, **options)
    made.save(out)
    report = describe(out, made, echoes)
    show([report], time.perf_counter() - begin, as_json=as_json, quiet=quiet)


@click.command("continue")
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--duration",
    type=float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How much is added.",
)
@click.option("--image", type=FILE, help="A picture of what is to be heard.")
@verb_options
def continue_(
    source: Path,
    out: Path,
    duration: float,
    image: Path | None,
    bundle: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Write a sound and more of it.

    Example: echoes-rt continue rain.wav long.wav --duration 20
    """
    from echoes_rt.pipeline import Echoes
    from echoes_rt.tasks.fill_sound import MAX_ADDED_S
    from echoes_rt.tasks.stream import check_duration

    begin = time.perf_counter()
    if not _same_medium(source, out, image):
        raise InputError(f"continue needs a sound, got {source}; use generate for a picture")
    check_duration(duration, MAX_ADDED_S)
    echoes = Echoes.load(bundle, device=device, threads=threads)
    with progress(quiet=quiet, runs=echoes.windows(duration)) as on_step:
        made = echoes.continue_(source, duration=duration, image=image, on_step=on_step, **options)
    made.save(out)
    report = describe(out, made, echoes)
    show([report], time.perf_counter() - begin, as_json=as_json, quiet=quiet)


@click.command()
@click.argument("source", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--keep",
    type=float,
    default=0.5,
    show_default=True,
    metavar="SHARE",
    help="How much of it stays, 0 to 1.",
)
@click.option(
    "--start",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Where in a sound the clip begins.",
)
@verb_options
def vary(
    source: Path,
    out: Path,
    keep: float,
    start: float,
    bundle: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make a sound like the given one, or a picture like the given one.

    Example: echoes-rt vary dog.wav other.wav --keep 0.3
    """
    from echoes_rt.pipeline import Echoes

    begin = time.perf_counter()
    _same_medium(source, out)
    echoes = Echoes.load(bundle, device=device, threads=threads)
    with progress(quiet=quiet) as on_step:
        made = echoes.vary(source, keep=keep, start=start, on_step=on_step, **options)
    made.save(out)
    report = describe(out, made, echoes)
    show([report], time.perf_counter() - begin, as_json=as_json, quiet=quiet)


def _same_medium(source: Path, out: Path, *others: Path | None) -> bool:
    """Whether both are sounds; checks that OUT can be written and is of SOURCE's medium.

    Raises:
        InputError: if not, or if OUT is SOURCE or one of ``others``.
    """
    from echoes_rt.io.audio import check_sound_path
    from echoes_rt.io.image import check_image_path
    from echoes_rt.io.output_file import check_not_input
    from echoes_rt.io.sources import is_sound

    is_heard = is_sound(source)
    (check_sound_path if is_heard else check_image_path)(out)
    check_not_input(out, [source, *(other for other in others if other is not None)])
    return is_heard
