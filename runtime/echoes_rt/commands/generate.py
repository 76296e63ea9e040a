"""Making one medium from the other, or both from nothing."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echoes_rt.commands.options import FILE, verb_options
from echoes_rt.commands.progress import progress
from echoes_rt.commands.report import Report, describe, describe_failure, guess, show
from echoes_rt.commands.terminal import say
from echoes_rt.errors import InputError

if TYPE_CHECKING:
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
    help="Length of the sound, of any size. [default: one clip of the bundle]",
)
@click.option(
    "--start",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Where in a sound the clip begins that becomes a picture.",
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

    A picture SOURCE gives a sound: OUT ends in .wav, .flac or .ogg. A sound SOURCE gives a picture:
    OUT ends in .png, .jpg, .webp or .bmp. A video SOURCE gives a video OUT with the sound of what
    it shows, or a picture OUT of its own sound. With several SOURCEs OUT is a folder; with --count
    a number is added to the name.

    \b
    Example: echoes-rt generate dog.jpg dog.wav --seed 7
             echoes-rt generate dog.wav dog.png
             echoes-rt generate sea.jpg sea.wav --duration 60
             echoes-rt generate clip.mp4 loud.mp4
             echoes-rt generate *.jpg sounds/ --count 8 --rank 1
    """  # noqa: D301 - \b keeps click from joining the lines
    from echoes_rt.io.video import is_video_path
    from echoes_rt.options import draw_seed
    from echoes_rt.pipeline import Echoes
    from echoes_rt.tasks.whole import BATCH, check_count

    begin = time.perf_counter()
    check_count(count, rank)
    videos = [is_video_path(source) and not _is_heard(source, out) for source in sources]
    if any(videos) and (not all(videos) or count > 1 or duration is not None or start):
        raise InputError("videos go alone, without --count, --duration and --start")
    if duration is not None and (count > 1 or start):
        raise InputError(
            "duration does not go with --count, make long sounds one by one, nor with --start"
        )
    files = _output_files(sources, out, count if rank is None else rank)
    echoes = Echoes.load(bundle, device=device, threads=threads)
    # What is wrong is said once, not for each source.
    draw_seed(options["seed"])
    echoes.sampling(1, {k: v for k, v in options.items() if k != "seed"})  # type: ignore[arg-type]
    reports: list[Report] = []
    failures: list[Report] = []
    guesses: list[str] = []
    with progress(quiet=quiet, runs=math.ceil(count / BATCH) * len(sources)) as on_step:
        for source, names in zip(sources, files, strict=True):
            try:
                if any(videos):
                    reports.append(_video(echoes, source, names[0], quiet=quiet, options=options))
                elif duration is not None:
                    report = _long(echoes, source, names[0], duration, quiet=quiet, options=options)
                    reports.append(report)
                else:
                    made = echoes.generate_many(
                        [source], count=count, rank=rank, start=start, on_step=on_step, **options
                    )[0]
                    for name, result in zip(names, made, strict=True):
                        result.save(name)
                        reports.append(describe(name, result, echoes))
            except InputError as error:
                if len(sources) == 1:
                    raise
                failures.append(describe_failure(source, error))  # the others may be well
            else:
                if warning := guess(source, reports[-1]):
                    guesses.append(warning)
    took_s = time.perf_counter() - begin
    if guesses and not quiet:
        say("\n".join(guesses), err=True)
    show(reports, took_s, as_json=as_json, quiet=quiet, failures=failures)


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
    show(reports, time.perf_counter() - begin, as_json=as_json, quiet=quiet)


def _output_files(sources: tuple[Path, ...], out: Path, results: int) -> list[list[Path]]:
    """Where the results of each source go, checked before any work.

    Raises:
        InputError: if a source and its result are of the same medium, or nothing can be written, or
            a result would take the place of a source.
    """
    from echoes_rt.io.audio import check_sound_path
    from echoes_rt.io.image import check_image_path
    from echoes_rt.io.output_file import check_not_input, is_folder
    from echoes_rt.io.sound_file import is_sound_path
    from echoes_rt.io.sources import medium_of
    from echoes_rt.io.video import check_video_path

    is_there = is_folder(out)
    is_several = is_there or len(sources) > 1
    if is_several and not is_there:
        raise InputError(f"with several sources OUT must be a folder, got {out}; make it first")
    files = []
    for source in sources:
        medium = medium_of(source)
        if medium == "video" and not _is_heard(source, out):
            suffix, check = ".mp4", check_video_path
        elif medium == "picture":
            suffix, check = ".wav", check_sound_path
        else:
            suffix, check = ".png", check_image_path
        name = out / source.with_suffix(suffix).name if is_several else out
        if check is check_image_path and is_sound_path(name):
            raise InputError(
                f"generate makes a picture of a sound, got {source} and {name}; "
                "use vary or continue for more sound"
            )
        numbered = [name.with_stem(f"{name.stem}-{i + 1}") for i in range(results)]
        files.append([check(path) for path in (numbered if results > 1 else [name])])
    written = [path.resolve() for names in files for path in names]
    if len(set(written)) < len(written):
        raise InputError("two sources would give a file of the same name; rename one")
    for path in written:
        check_not_input(path, sources)
    return files


def _is_heard(source: Path, out: Path) -> bool:
    """Whether of a video the sound counts: where a picture is asked for."""
    from echoes_rt.io.image import PICTURE_SUFFIXES
    from echoes_rt.io.video import is_video_path

    return is_video_path(source) and out.suffix.lower() in PICTURE_SUFFIXES and not out.is_dir()


def _long(
    echoes: Echoes,
    source: Path,
    out: Path,
    duration: float,
    *,
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


def _video(
    echoes: Echoes, source: Path, out: Path, *, quiet: bool, options: dict[str, Any]
) -> Report:
    with progress(quiet=quiet) as on_step:
        made = echoes.add_sound(source, out, on_step=on_step, **options)
    return describe(out, made, echoes)
