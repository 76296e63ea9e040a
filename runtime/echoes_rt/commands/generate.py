"""Making one medium from the other, or both from nothing."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echoes_rt.commands.files import (
    are_several,
    expand,
    is_watched,
    output_files,
    writable,
)
from echoes_rt.commands.options import FILE, verb_options
from echoes_rt.commands.progress import progress
from echoes_rt.commands.report import Report, describe, describe_failure, guess, show
from echoes_rt.commands.terminal import say
from echoes_rt.errors import InputError

if TYPE_CHECKING:
    from echoes_rt.io.source_file import SourceFile
    from echoes_rt.pipeline import Echoes


@click.command()
@click.argument("sources", nargs=-1, required=True, type=FILE, metavar="SOURCE...")
@click.argument("out", type=FILE)
@click.option(
    "--count", type=int, default=1, show_default=True, metavar="N", help="Results of each source."
)
@click.option("--rank", type=int, metavar="N", help="Keep only the N likeliest of --count.")
@click.option(
    "--duration",
    type=float,
    metavar="SECONDS",
    help="Length of the sound, up to a day. [default: one clip of the bundle]",
)
@click.option(
    "--start",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Where the clip begins in a longer sound.",
)
@verb_options
def generate(
    sources: tuple[Path, ...],
    out: Path,
    count: int,
    rank: int | None,
    duration: float | None,
    start: float,
    bundle: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make the sound of a picture, or the picture of a sound.

    A picture SOURCE gives a sound: OUT ends in .wav, .flac, .ogg or .mp3. A sound SOURCE gives a
    picture: OUT ends in .png, .jpg, .webp or .bmp. A video SOURCE gives a video OUT with the sound
    of what it shows, or that sound alone; or a picture OUT of its own sound. With several SOURCEs
    or a folder of them OUT is a folder, which is made if there is none; with --count a number is
    added to the name. As SOURCE or OUT, - is standard input or output, which gets WAV or PNG.

    \b
    Example: echoes-rt generate dog.jpg dog.wav --seed 7
             echoes-rt generate dog.wav dog.png
             echoes-rt generate sea.jpg sea.wav --duration 60
             echoes-rt generate clip.mp4 loud.mp4
             echoes-rt generate *.jpg sounds/ --count 8 --rank 1
             echoes-rt generate - - < dog.jpg | aplay
    """  # noqa: D301 - \b keeps click from joining the lines
    from echoes_rt.options import draw_seed
    from echoes_rt.pipeline import Echoes
    from echoes_rt.tasks.whole import BATCH, check_count

    begin = time.perf_counter()
    check_count(count, rank)
    if duration is not None and (count > 1 or start):
        raise InputError(
            "duration does not go with --count, make long sounds one by one, nor with --start"
        )
    files = expand(sources)
    is_plain = count == 1 and duration is None and not start
    if not is_plain and any(is_watched(file, out) for file in files):
        raise InputError("a video goes without --count, --duration and --start")
    reports: list[Report] = []
    failures: list[Report] = []
    guesses: list[str] = []
    results = count if rank is None else rank
    with writable(out, files, results) as target:
        outputs = output_files(files, target, results, is_several=are_several(sources))
        echoes = Echoes.load(bundle, device=device, threads=threads)
        # What is wrong is said once, not for each source.
        draw_seed(options["seed"])
        echoes.sampling(1, {k: v for k, v in options.items() if k != "seed"})  # type: ignore[arg-type]
        with progress(quiet=quiet, runs=math.ceil(count / BATCH) * len(files)) as on_step:
            for file, names in zip(files, outputs, strict=True):
                try:
                    if is_watched(file, out):
                        reports.append(_video(echoes, file, names[0], quiet, options))
                    elif duration is not None:
                        reports.append(_long(echoes, file, names[0], duration, quiet, options))
                    else:
                        made = echoes.generate_many(
                            [file], count=count, rank=rank, start=start, on_step=on_step, **options
                        )[0]
                        for name, result in zip(names, made, strict=True):
                            result.save(name)
                            reports.append(describe(name, result, echoes))
                except InputError as error:
                    if len(files) == 1:
                        raise
                    failures.append(describe_failure(file, error))  # the others may be well
                else:
                    if warning := guess(file, reports[-1]):
                        guesses.append(warning)
    took_s = time.perf_counter() - begin
    if guesses and not quiet:
        say("\n".join(guesses), err=True)
    show(reports, took_s, as_json=as_json, quiet=quiet, failures=failures, out=out)


@click.command()
@click.argument("sound", type=FILE)
@click.argument("picture", type=FILE)
@verb_options
def cogenerate(
    sound: Path,
    picture: Path,
    bundle: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make a sound and the picture that belongs to it, from nothing.

    Example: echoes-rt cogenerate out.wav out.png --seed 3
    """
    from echoes_rt.io.audio import check_sound_path
    from echoes_rt.io.image import check_image_path
    from echoes_rt.pipeline import Echoes
    from echoes_rt.tasks.whole import REDRAWS

    begin = time.perf_counter()
    check_sound_path(sound)
    check_image_path(picture)
    echoes = Echoes.load(bundle, device=device, threads=threads)
    with progress(quiet=quiet, runs=1 + 2 * REDRAWS) as on_step:
        made = echoes.cogenerate(on_step=on_step, **options)
    reports = []
    for name, result in zip((sound, picture), made, strict=True):
        result.save(name)
        reports.append(describe(name, result, echoes))
    show(reports, time.perf_counter() - begin, as_json=as_json, quiet=quiet, out=sound)


def _long(
    echoes: Echoes,
    source: SourceFile,
    out: Path,
    duration: float,
    quiet: bool,
    options: dict[str, Any],
) -> Report:
    from echoes_rt.io.sources import is_sound

    if is_sound(source):
        raise InputError(f"duration is for the sound of a picture, and {source} is a sound")
    with progress(quiet=quiet, runs=echoes.windows(duration)) as on_step:
        made = echoes.stream(source, duration=duration, on_step=on_step, **options)
        made.save(out)
    return describe(out, made, echoes)


def _video(echoes: Echoes, source: Path, out: Path, quiet: bool, options: dict[str, Any]) -> Report:
    with progress(quiet=quiet) as on_step:
        made = echoes.add_sound(source, out, on_step=on_step, **options)
    return describe(out, made, echoes)
