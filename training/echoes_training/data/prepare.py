"""The commands `echoes-train prepare ...`: from folders and tables to what trainings read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echoes_rt.errors import InputError
from echoes_training.data.index import Clip, Split, with_recordings_whole, write_index
from echoes_training.data.videos.command import videos

if TYPE_CHECKING:
    from echoes_training.data.composition import Voice

INDEX_NAME = "index.jsonl"
HELDOUT_SEED = 10_000  # renderings with this seed or a higher one are held out
FEWEST_PAIRS = 3
SOUNDFONT_LICENCE = "MIT"
DEFAULT_SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(file_okay=False, path_type=Path)


@click.group()
def prepare() -> None:
    """Make an index of pictures and sounds, or shards of videos."""


prepare.add_command(videos)


@prepare.command()
@click.option("--caltech", required=True, type=_FOLDER, help="Caltech-101: a folder per category.")
@click.option("--esc10", required=True, type=_FOLDER, help="ESC-10: a folder per class.")
@click.option("--sounds", type=_FILE, help="A table of more recordings, beside their folders.")
@click.option("--classes", required=True, type=_FILE, help="The table that joins them by label.")
@click.option(
    "--soundfont",
    type=click.Path(path_type=Path),
    default=DEFAULT_SOUNDFONT,
    show_default=True,
    help="General MIDI soundfont for labels that it plays, and for all its voices.",
)
@click.option("--out", required=True, type=_OUT, help="Gets index.jsonl and audio/.")
@click.option(
    "--renders",
    type=click.IntRange(0, 10_000),
    default=120,
    show_default=True,
    help="Clips of each label that the soundfont plays, to train and to choose on.",
)
@click.option(
    "--heldout-renders",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="More of each, held out.",
)
@click.option(
    "--unlabelled-renders",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    help="Clips of each of the 128 programs, and of 8 choices of drums, for the codec and vocoder.",
)
def media(
    caltech: Path,
    esc10: Path,
    sounds: Path | None,
    classes: Path,
    soundfont: Path,
    out: Path,
    renders: int,
    heldout_renders: int,
    unlabelled_renders: int,
) -> None:
    """Index Caltech-101, ESC-10, recordings and a soundfont.

    What the soundfont plays is rendered. Run it again after an interruption: what is rendered
    already is kept.
    """
    from echoes_training.data.public import (
        caltech_clips,
        esc10_clips,
        read_classes,
        recorded_clips,
    )

    known = read_classes(classes)
    found = [*caltech_clips(caltech, known), *esc10_clips(esc10, known)]
    if sounds is not None:
        found += recorded_clips(sounds, known)
    elif any(row.audio_source == "sounds" for row in known):
        raise InputError(f"{classes} names recordings; give their table with --sounds")
    found = with_recordings_whole(found)
    _make_folder(out)
    seeds = [*range(renders), *range(HELDOUT_SEED, HELDOUT_SEED + heldout_renders)]
    voices: dict[str, list[Voice]] = {}
    for row in known:
        if row.voice is not None:
            voices.setdefault(row.label, []).append(row.voice)
    rendered, silent = _rendered_clips(voices, seeds, unlabelled_renders, soundfont, out / "audio")
    good, broken = _usable_clips(found)
    _finish(out, [*good, *rendered], [*broken, *silent])


@prepare.command()
@click.argument("table", type=click.Path(exists=True, path_type=Path), metavar="TABLE|FOLDER")
@click.option("--out", required=True, type=_OUT, help="Gets index.jsonl.")
def pairs(table: Path, out: Path) -> None:
    """Index your own pairs, from a folder or a table.

    In a FOLDER dog.jpg belongs to dog.wav. A TABLE, a .csv or .jsonl file, has the columns image
    and audio, and if you like start (seconds), label, split (train, validation or val, heldout or
    test) and licence. Paths are relative to the table. Where split is left out, one picture in ten
    is for validation and one held out, always the same ones, with all rows that share a file with
    it.

    Example: echoes-train prepare pairs photos-and-sounds --out data
    """
    from echoes_training.data.pairs import read_pairs

    clips = read_pairs(table)
    _make_folder(out)
    good, broken = _usable_clips(clips)
    _check_enough(good, broken, table)
    _finish(out, good, broken)


def usable_pairs(table: Path) -> list[Clip]:
    """The pairs of a user's table whose media open; the others are named on stderr.

    Raises:
        InputError: if the table breaks the rules, or none is usable.
    """
    from echoes_training.data.pairs import read_pairs

    good, broken = _usable_clips(read_pairs(table))
    for reason in broken:
        click.echo(f"skipped {reason}", err=True)
    _check_enough(good, broken, table)
    return good


def _check_enough(pairs: Sequence[Clip], broken: Sequence[str], table: Path) -> None:
    if len(pairs) < FEWEST_PAIRS:
        reason = f"; skipped {broken[0]}" if broken else ""
        raise InputError(
            f"at least {FEWEST_PAIRS} pairs are needed, to train on, to measure on and to hold "
            f"out, {table} has {len(pairs)} that can be used{reason}"
        )


def _rendered_clips(
    voices: "dict[str, list[Voice]]",
    seeds: Sequence[int],
    unlabelled: int,
    soundfont: Path,
    folder: Path,
) -> tuple[list[Clip], list[str]]:
    """The labels' clips, and ``unlabelled`` ones of everything that the soundfont has."""
    from tqdm import tqdm

    from echoes_training.data.soundfont import check_renderer, every_voice, render_missing

    jobs: list[tuple[str | None, str, list[Voice], Sequence[int]]]
    jobs = [(label, label, own, seeds) for label, own in voices.items()]
    jobs += [(None, name, [voice], range(unlabelled)) for name, voice in every_voice().items()]
    jobs = [job for job in jobs if job[3]]
    if not jobs:
        return [], []
    check_renderer(soundfont)
    clips, failed = [], []
    with tqdm(total=sum(len(job[3]) for job in jobs), desc="rendering", unit="clip") as bar:
        for label, name, choice, wanted in jobs:
            bar.set_postfix_str(name)
            for path, reason in render_missing(name, choice, wanted, folder / name, soundfont):
                bar.update()
                if reason is not None:
                    failed.append(f"{path}: {reason}")
                    continue
                clips.append(
                    Clip(
                        audio=str(path),
                        label=label,
                        category=name,
                        split=_render_split(int(path.stem)),
                        licence=SOUNDFONT_LICENCE,
                        source="soundfont",
                        recording=f"{name}/{path.stem}",
                    )
                )
    clips.sort(key=lambda clip: (clip.category, int(Path(clip.audio or "").stem)))
    return clips, failed


def _render_split(seed: int) -> Split:
    if seed >= HELDOUT_SEED:
        return "heldout"
    return "validation" if seed % 8 == 7 else "train"


def _usable_clips(clips: Sequence[Clip]) -> tuple[list[Clip], list[str]]:
    """The clips whose media open, and for each other clip the reason."""
    from tqdm import tqdm

    from echoes_training.data.checking import fault

    good, broken = [], []
    for clip in tqdm(clips, desc="checking", unit="file"):
        reason = fault(clip)
        if reason is None:
            good.append(clip)
        else:
            broken.append(reason)
    return good, broken


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}") from error


def _finish(out: Path, clips: Sequence[Clip], skipped: Sequence[str]) -> None:
    for reason in skipped:
        click.echo(f"skipped {reason}", err=True)
    if not clips:
        raise InputError("no usable media were found, so no index was written")
    path = out / INDEX_NAME
    write_index(path, clips)
    for line in _summary(clips):
        click.echo(line)
    click.echo(f"{path}: {len(clips)} rows, {len(skipped)} files skipped")


def _summary(clips: Iterable[Clip]) -> list[str]:
    counts = Counter((clip.source, clip.label or "(no label)", clip.split) for clip in clips)
    groups = sorted({key[:2] for key in counts})
    splits: tuple[Split, ...] = ("train", "validation", "heldout")
    lines = [f"{'source':<12}{'label':<20}" + "".join(f"{split:>12}" for split in splits)]
    lines += [
        f"{source:<12}{label:<20}"
        + "".join(f"{counts[source, label, split]:>12}" for split in splits)
        for source, label in groups
    ]
    return lines
