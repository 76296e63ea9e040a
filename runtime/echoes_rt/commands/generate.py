"""Making one medium from the other, or both from nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echoes_rt.commands.files import expand, is_watched, needs_folder, output_files, writable
from echoes_rt.commands.report import Report, describe, guess
from echoes_rt.commands.terminal import say
from echoes_rt.commands.verb import FILE, Verb, progress, start_option, verb_options
from echoes_rt.errors import InputError

if TYPE_CHECKING:
    from echoes_rt.io.source_file import SourceFile
    from echoes_rt.pipeline import Echoes

    _Pair = tuple[SourceFile, list[Path]]


@click.command()
@click.argument("sources", nargs=-1, type=FILE, metavar="SOURCE...")
@click.argument("out", metavar="OUT")
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
@start_option
@verb_options
def generate(
    verb: Verb,
    sources: tuple[Path, ...],
    out: str,
    count: int,
    rank: int | None,
    duration: float | None,
    start: float,
) -> None:
    """Make the sound of a picture, or the picture of a sound.

    A picture SOURCE gives a sound: OUT ends in .wav, .flac, .ogg or .mp3. A sound SOURCE gives a
    picture: OUT ends in .png, .jpg, .webp or .bmp. A video SOURCE gives a video OUT with the sound
    of what it shows, or that sound alone; or a picture OUT of its own sound. With several SOURCEs
    or a folder of them, or if it ends in a slash, OUT is a folder, which is made if there is none;
    with --count a number is added to the name. As SOURCE or OUT, - is standard input or output,
    which gets WAV or PNG.

    \b
    Example: echoes-rt generate dog.jpg dog.wav --seed 7
             echoes-rt generate dog.wav dog.png
             echoes-rt generate sea.jpg sea.wav --duration 60
             echoes-rt generate clip.mp4 loud.mp4
             echoes-rt generate *.jpg sounds/ --count 8 --rank 1
             echoes-rt generate - - < dog.jpg | aplay
    """  # noqa: D301 - \b keeps click from joining the lines
    from echoes_rt.options import draw_seed
    from echoes_rt.tasks.whole import BATCH, check_count, parts_of

    if not sources:
        raise click.UsageError(f"give SOURCE and OUT, got {out} alone")
    place = Path(out)
    check_count(count, rank)
    if duration is not None and (count > 1 or start):
        raise InputError(
            "duration does not go with --count, make long sounds one by one, nor with --start"
        )
    files = expand(sources)
    is_plain = count == 1 and duration is None and not start
    if not is_plain and any(is_watched(file, place) for file in files):
        raise InputError("a video goes without --count, --duration and --start")
    reports: list[Report] = []
    failures: list[Report] = []
    guesses: list[str] = []
    results = count if rank is None else rank
    with writable(place, files, results) as target:
        is_into_folder = needs_folder(sources, out)
        outputs = output_files(files, target, results, is_into_folder=is_into_folder)
        echoes = verb.load()
        # What is wrong is said once, not for each source; all sources have one seed.
        options = verb.options | {"seed": draw_seed(verb.options["seed"])}
        echoes.sampling(1, {k: v for k, v in options.items() if k != "seed"})  # type: ignore[arg-type]
        one_by_one = duration is not None or any(is_watched(file, place) for file in files)
        size = 1 if one_by_one else max(1, BATCH // count)
        pairs = [*zip(files, outputs, strict=True)]
        groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        runs = sum(len(parts_of(group * count, echoes.callers)) for group in groups)
        with progress(quiet=verb.quiet, runs=runs) as on_step:

            def make(group: list[_Pair]) -> list[list[Report]]:
                file, names = group[0]
                if is_watched(file, place):
                    return [[_video(echoes, file, names[0], verb.quiet, options)]]
                if duration is not None:
                    return [[_long(echoes, file, names[0], duration, verb.quiet, options)]]
                asked = options | {"count": count, "rank": rank, "start": start}
                made = echoes.generate_many([file for file, _ in group], on_step=on_step, **asked)
                return [
                    [
                        describe(result.save(name), result, echoes)
                        for name, result in zip(names, results, strict=True)
                    ]
                    for (_, names), results in zip(group, made, strict=True)
                ]

            for file, made in itertools.chain.from_iterable(_each(make, g) for g in groups):
                if isinstance(made, InputError):
                    if len(files) == 1:
                        raise made
                    # The others may be well.
                    failures.append({"source": str(file), "error": str(made)})
                    continue
                reports += made
                if warning := guess(file, made[-1]):
                    guesses.append(warning)
    if guesses and not verb.quiet:
        say("\n".join(guesses), err=True)
    verb.show(reports, place, failures)


@click.command()
@click.argument("sound", type=FILE)
@click.argument("picture", type=FILE)
@verb_options
def cogenerate(verb: Verb, sound: Path, picture: Path) -> None:
    """Make a sound and the picture that belongs to it, from nothing.

    Example: echoes-rt cogenerate out.wav out.png --seed 3
    """
    from echoes_rt.io.audio import check_sound_path
    from echoes_rt.io.image import check_image_path
    from echoes_rt.tasks.whole import REDRAWS

    check_sound_path(sound)
    check_image_path(picture)
    echoes = verb.load()
    with progress(quiet=verb.quiet, runs=1 + 2 * REDRAWS) as on_step:
        made = echoes.cogenerate(on_step=on_step, **verb.options)
    reports = []
    for name, result in zip((sound, picture), made, strict=True):
        result.save(name)
        reports.append(describe(name, result, echoes))
    verb.show(reports, sound)


def _each(
    make: Callable[[list[_Pair]], list[list[Report]]], group: list[_Pair]
) -> Iterator[tuple[SourceFile, list[Report] | InputError]]:
    """What is made of each source; if one of several fails, each is made alone, to know which."""
    try:
        made = make(group)
    except InputError as error:
        if len(group) == 1:
            yield group[0][0], error
        else:
            for pair in group:
                yield from _each(make, [pair])
    else:
        yield from zip((file for file, _ in group), made, strict=True)


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
