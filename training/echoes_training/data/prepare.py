"""The commands `echoes-train prepare ...`: from folders and tables to what trainings read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echoes_rt.errors import InputError
from echoes_training.data.videos.command import videos

if TYPE_CHECKING:
    from echoes_training.data.index import Clip
    from echoes_training.data.public import LabelClass

INDEX_NAME = "index.jsonl"
DEFAULT_SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(file_okay=False, path_type=Path)


@click.group()
def prepare() -> None:
    """Make what the trainings read: an index of pictures and sounds, or shards of videos."""


prepare.add_command(videos)


@prepare.command()
@click.option("--caltech", required=True, type=_FOLDER, help="Caltech-101: a folder per category.")
@click.option("--esc10", required=True, type=_FOLDER, help="ESC-10: a folder per class.")
@click.option("--classes", required=True, type=_FILE, help="The table that joins them by label.")
@click.option(
    "--soundfont",
    type=click.Path(path_type=Path),
    default=DEFAULT_SOUNDFONT,
    show_default=True,
    help="General MIDI soundfont for the labels without recordings.",
)
@click.option("--out", required=True, type=_OUT, help="Gets index.jsonl and audio/.")
@click.option("--renders", type=click.IntRange(0, 10_000), default=120, show_default=True)
@click.option("--heldout-renders", type=click.IntRange(0), default=20, show_default=True)
def media(
    caltech: Path,
    esc10: Path,
    classes: Path,
    soundfont: Path,
    out: Path,
    renders: int,
    heldout_renders: int,
) -> None:
    """Index Caltech-101 and ESC-10, and render the sounds of the other labels.

    Run it again after an interruption: what is rendered already is kept.
    """
    from echoes_training.data.public import HELDOUT_SEED, caltech_clips, esc10_clips, read_classes

    known = read_classes(classes)
    found = [*caltech_clips(caltech, known), *esc10_clips(esc10, known)]
    _make_folder(out)
    seeds = [*range(renders), *range(HELDOUT_SEED, HELDOUT_SEED + heldout_renders)]
    rendered, silent = _rendered_clips(known, seeds, soundfont, out)
    good, broken = _usable_clips(found)
    _finish(out, [*good, *rendered], [*broken, *silent])


@prepare.command()
@click.argument("table", type=_FILE)
@click.option("--out", required=True, type=_OUT, help="Gets index.jsonl.")
def pairs(table: Path, out: Path) -> None:
    """Index your own pairs from TABLE, a .csv or .jsonl file.

    Its columns are image and audio, and if you like start (seconds), label, split (train or
    heldout) and licence. Paths are relative to the table. Where split is left out, one picture in
    ten is held out, always the same ones, with all rows that share a file with it.
    """
    from echoes_training.data.pairs import read_pairs

    clips = read_pairs(table)
    _make_folder(out)
    good, broken = _usable_clips(clips)
    _finish(out, good, broken)


def usable_pairs(table: Path) -> "list[Clip]":
    """The pairs of a user's table whose media open; the others are named on stderr.

    Raises:
        InputError: if the table breaks the rules, or none is usable.
    """
    from echoes_training.data.pairs import read_pairs

    good, broken = _usable_clips(read_pairs(table))
    for reason in broken:
        click.echo(f"skipped {reason}", err=True)
    if not good:
        raise InputError(f"no pair of {table} can be used")
    return good


def _rendered_clips(
    classes: "Sequence[LabelClass]", seeds: Sequence[int], soundfont: Path, out: Path
) -> "tuple[list[Clip], list[str]]":
    from tqdm import tqdm

    from echoes_training.data.index import Clip
    from echoes_training.data.public import HELDOUT_SEED, SOUNDFONT_LICENCE
    from echoes_training.data.soundfont import check_renderer, parse_voice, render_missing

    played = [known for known in classes if known.audio_source == "soundfont"]
    if not played or not seeds:
        return [], []
    check_renderer(soundfont)
    try:
        voices = {known.label: parse_voice(known.audio_key) for known in played}
    except ValueError as error:
        raise InputError(str(error)) from error
    clips, failed = [], []
    with tqdm(total=len(voices) * len(seeds), desc="rendering", unit="clip") as bar:
        for label, voice in voices.items():
            bar.set_postfix_str(label)
            results = render_missing(label, voice, seeds, out / "audio" / label, soundfont)
            for path, reason in results:
                bar.update()
                if reason is not None:
                    failed.append(f"{path}: {reason}")
                    continue
                clips.append(
                    Clip(
                        image=None,
                        audio=str(path),
                        start=0.0,
                        label=label,
                        category=label,
                        split="heldout" if int(path.stem) >= HELDOUT_SEED else "train",
                        licence=SOUNDFONT_LICENCE,
                        source="soundfont",
                    )
                )
    clips.sort(key=lambda clip: (clip.label or "", int(Path(clip.audio or "").stem)))
    return clips, failed


def _usable_clips(clips: "Sequence[Clip]") -> "tuple[list[Clip], list[str]]":
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


def _finish(out: Path, clips: "Sequence[Clip]", skipped: Sequence[str]) -> None:
    from echoes_training.data.index import write_index

    for reason in skipped:
        click.echo(f"skipped {reason}", err=True)
    if not clips:
        raise InputError("no usable media were found, so no index was written")
    path = out / INDEX_NAME
    try:
        write_index(path, clips)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    for line in _summary(clips):
        click.echo(line)
    click.echo(f"{path}: {len(clips)} rows, {len(skipped)} files skipped")


def _summary(clips: "Iterable[Clip]") -> list[str]:
    counts = Counter((clip.source, clip.label or "(no label)", clip.split) for clip in clips)
    groups = sorted({key[:2] for key in counts})
    lines = [f"{'source':<12}{'label':<20}{'train':>7}{'heldout':>9}"]
    lines += [
        f"{source:<12}{label:<20}{counts[source, label, 'train']:>7}"
        f"{counts[source, label, 'heldout']:>9}"
        for source, label in groups
    ]
    return lines
