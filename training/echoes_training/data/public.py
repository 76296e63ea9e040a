"""Reads the public collections that a model is trained on, and the table that joins them."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from echoes_rt.errors import InputError
from echoes_training.data.composition import Voice, parse_voice
from echoes_training.data.index import Clip, Split
from echoes_training.data.tables import Cells, read_table

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SOUND_SUFFIXES = (".ogg", ".wav", ".flac")
AUDIO_SOURCES = ("esc10", "sounds", "soundfont")

CALTECH_LICENCE = "CC BY 4.0"
ESC10_LICENCE = "CC BY 3.0"

HELDOUT_FOLD, VALIDATION_FOLD = 5, 4
VALIDATION_EVERY = 8  # of the authors of a label's recordings
FEWEST_RECORDINGS = 4  # with fewer for training none is spared for validation
WINDOW_SECONDS = 5.0  # long recordings become a clip for each

# Junk pictures, and the pictures of Faces again, cut closer.
_CALTECH_LEFT_OUT = ("BACKGROUND_Google", "Faces_easy")

_CLASS_COLUMNS = ("label", "image_folder", "audio_source", "audio_key")
_SOUND_COLUMNS = ("file", "label", "recording", "author", "licence", "split")


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """One row of the table: a label, the picture folders that show it, and one of its sounds.

    Attributes:
        audio_source: one of ``AUDIO_SOURCES``.
        audio_key: the folder of that source, or what the soundfont plays.
        voice: that, understood; None of other sources.
    """

    label: str
    image_folders: tuple[str, ...]
    audio_source: str
    audio_key: str
    voice: Voice | None


def read_classes(path: Path) -> list[LabelClass]:
    """Read the table that joins pictures and sounds; a label's rows all name the same pictures.

    Raises:
        InputError: names file and line of the first row that breaks the rules.
    """
    classes: list[LabelClass] = []

    def add(cells: Cells) -> None:
        if cells["audio_source"] not in AUDIO_SOURCES:
            raise ValueError(
                f"audio_source must be {', '.join(AUDIO_SOURCES)}, got {cells['audio_source']!r}"
            )
        known = LabelClass(
            label=cells["label"],
            image_folders=tuple(cells["image_folder"].split("|")),
            audio_source=cells["audio_source"],
            audio_key=cells["audio_key"],
            voice=parse_voice(cells["audio_key"]) if cells["audio_source"] == "soundfont" else None,
        )
        if known in classes:
            raise ValueError(f"this row of {known.label!r} is there twice")
        others = [other for other in classes if other.label == known.label]
        if others and others[0].image_folders != known.image_folders:
            raise ValueError(f"the rows of {known.label!r} name different image folders")
        classes.append(known)

    read_table(path, add, _CLASS_COLUMNS)
    return classes


def caltech_clips(folder: Path, classes: list[LabelClass]) -> Iterator[Clip]:
    """Every picture of every category, sorted by name and counted from 0.

    Of each five the last is held out; of each ten the fourth is for validation.
    """
    if (folder / "101_ObjectCategories").is_dir():
        folder = folder / "101_ObjectCategories"
    labels = {name: known.label for known in classes for name in known.image_folders}
    categories = _folders(folder)
    _refuse_absent(folder, labels, categories)
    for category in categories:
        if category.name in _CALTECH_LEFT_OUT:
            continue
        for index, path in enumerate(_files(category, PICTURE_SUFFIXES)):
            yield Clip(
                image=str(path),
                label=labels.get(category.name),
                category=category.name,
                split=_picture_split(index),
                licence=CALTECH_LICENCE,
                source="caltech101",
                recording=f"{category.name}/{path.name}",
            )


def _picture_split(index: int) -> Split:
    if index % 5 == 4:
        return "heldout"
    return "validation" if index % 10 == 3 else "train"


def esc10_clips(folder: Path, classes: list[LabelClass]) -> Iterator[Clip]:
    """Every recording of every class; a file is named by fold, Freesound number and take.

    Fold 5 is held out; of fold 4, recordings with an even number are for validation.
    """
    labels = _labels(classes, "esc10")
    categories = _folders(folder)
    _refuse_absent(folder, labels, categories)
    licences = _esc10_licences(folder / "README.md")
    for category in categories:
        for path in _files(category, SOUND_SUFFIXES):
            fold, _, rest = path.name.partition("-")
            number = rest.partition("-")[0]
            if fold not in ("1", "2", "3", "4", "5") or not number.isdigit():
                raise InputError(
                    f"{path} does not begin with its fold, 1 to 5, and its number, so nothing "
                    "says whether it is held out; rename or remove it"
                )
            split: Split = "train"
            if int(fold) == HELDOUT_FOLD:
                split = "heldout"
            elif int(fold) == VALIDATION_FOLD and int(number) % 2 == 0:
                split = "validation"
            yield Clip(
                audio=str(path),
                label=labels.get(category.name),
                category=category.name,
                split=split,
                licence=licences.get(path.name, ESC10_LICENCE),
                source="esc10",
                recording=f"freesound-{number}",
            )


def recorded_clips(table: Path, classes: list[LabelClass]) -> Iterator[Clip]:
    """Every sound of a table of recordings, in clips of ``WINDOW_SECONDS``.

    The table, a .csv beside the sounds, has the columns ``file``, ``label``, ``recording``,
    ``author``, ``licence`` and ``split`` (train or heldout). What is cut from train for validation
    goes by author within a label, because one author's recordings often come from one session.

    Raises:
        InputError: names file and line of the first row that breaks the rules.
    """
    labels = _labels(classes, "sounds")
    rows = read_table(table, _recording, _SOUND_COLUMNS)
    spared = _spared_for_validation(rows)
    for row in rows:
        path = table.parent / row["file"]
        split: Split = "heldout" if row["split"] == "heldout" else "train"
        if split == "train" and (row["label"], row["author"]) in spared:
            split = "validation"
        for start in _window_starts(path):
            yield Clip(
                audio=str(path),
                start=start,
                label=labels.get(row["label"]),
                category=row["label"],
                split=split,
                licence=row["licence"],
                source="sounds",
                recording=row["recording"],
            )


def _recording(cells: Cells) -> Cells:
    if cells["split"] not in ("train", "heldout"):
        raise ValueError(f"split must be train or heldout, got {cells['split']!r}")
    return cells


def _spared_for_validation(rows: list[dict[str, str]]) -> set[tuple[str, str]]:
    """The (label, author) whose training recordings are for validation: about one in eight."""
    recordings: dict[str, dict[str, set[str]]] = {}
    names: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        if row["split"] == "train":
            authors = recordings.setdefault(row["label"], {})
            authors.setdefault(row["author"], set()).add(row["recording"])
            names.setdefault(row["recording"], set()).add((row["label"], row["author"]))
    spared = set()
    for label, authors in recordings.items():
        total = sum(map(len, authors.values()))
        left = max(total // VALIDATION_EVERY, int(total >= FEWEST_RECORDINGS))
        for author in sorted(authors, key=lambda name: _draw(f"{label}/{name}")):
            is_shared = any(len(names[recording]) > 1 for recording in authors[author])
            if len(authors[author]) <= left and not is_shared:
                spared.add((label, author))
                left -= len(authors[author])
    return spared


def _draw(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _window_starts(path: Path) -> list[float]:
    """Where the clips of a recording start, in seconds; a rest of under a second is left out."""
    try:
        seconds = soundfile.info(path).duration
    except (soundfile.LibsndfileError, OSError):
        return [0.0]  # the check of all media names it
    count = max(1, int((seconds - 1.0) // WINDOW_SECONDS) + 1)
    return [WINDOW_SECONDS * i for i in range(count)]


def _labels(classes: list[LabelClass], source: str) -> dict[str, str]:
    return {known.audio_key: known.label for known in classes if known.audio_source == source}


def _esc10_licences(readme: Path) -> dict[str, str]:
    """The licence of each file, from lines like ``- **[a.ogg](..)**: .. ([CC-BY](http://..))``."""
    if not readme.is_file():
        return {}
    text = readme.read_text(encoding="utf-8", errors="replace")
    found = re.findall(
        r"^- \*\*\[(\S+?\.ogg)\].*\(\[[^\]]+\]\(https?://creativecommons\.org/(\S+?)/?\)\)\s*$",
        text,
        re.MULTILINE,
    )
    return {name: _licence_name(address) for name, address in found}


def _licence_name(address: str) -> str:
    """``licenses/by/3.0`` is CC BY 3.0, ``publicdomain/zero/1.0`` is CC0 1.0."""
    kind, _, version = address.partition("/")[2].partition("/")
    names = {"zero": "CC0", "sampling+": "CC Sampling Plus"}
    return f"{names.get(kind, f'CC {kind.upper()}')} {version}".strip()


def _folders(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error}") from error
    if not found:
        raise InputError(f"{folder} has no class folders; expected one folder per class")
    return found


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)


def _refuse_absent(folder: Path, labels: dict[str, str], categories: list[Path]) -> None:
    present = {category.name for category in categories}
    if absent := sorted(set(labels) - present):
        raise InputError(f"{folder} lacks the class folders {', '.join(map(repr, absent))}")
