"""Reads the folders of Caltech-101 and of ESC-10, and the table of classes that joins them."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_training.data.index import Clip

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SOUND_SUFFIXES = (".ogg", ".wav", ".flac")

CALTECH_LICENCE = "CC BY 4.0"
ESC10_LICENCE = "CC BY 3.0"
SOUNDFONT_LICENCE = "MIT"

HELDOUT_FOLD = 5
HELDOUT_SEED = 10_000  # renderings with this seed or a higher one are held out

# Junk pictures, and the pictures of Faces again, cut closer.
_CALTECH_LEFT_OUT = ("BACKGROUND_Google", "Faces_easy")

_COLUMNS = ("label", "image_folder", "audio_source", "audio_key")


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """One label: the picture folders that show it, and where its sound comes from."""

    label: str
    image_folders: tuple[str, ...]
    audio_source: str  # esc10 or soundfont
    audio_key: str  # the class folder, or what the soundfont plays


def read_classes(path: Path) -> list[LabelClass]:
    """Read the table that joins pictures and sounds by label.

    Raises:
        InputError: names file and line of the first row that breaks the rules.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := set(_COLUMNS) - set(reader.fieldnames or ()):
                raise InputError(
                    f"{path} lacks the column {', '.join(sorted(missing))}; "
                    f"it needs {', '.join(_COLUMNS)}"
                )
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the classes {path}: {error}") from error
    classes: list[LabelClass] = []
    for line, row in rows:
        values = {name: (row[name] or "").strip() for name in _COLUMNS}
        if empty := [name for name in _COLUMNS if not values[name]]:
            raise InputError(f"{path}:{line}: {', '.join(empty)} is empty")
        if values["audio_source"] not in ("esc10", "soundfont"):
            raise InputError(
                f"{path}:{line}: audio_source must be esc10 or soundfont, "
                f"got {values['audio_source']!r}"
            )
        if values["label"] in [known.label for known in classes]:
            raise InputError(f"{path}:{line}: the label {values['label']!r} is there twice")
        classes.append(
            LabelClass(
                label=values["label"],
                image_folders=tuple(values["image_folder"].split("|")),
                audio_source=values["audio_source"],
                audio_key=values["audio_key"],
            )
        )
    if not classes:
        raise InputError(f"{path} has no rows")
    return classes


def caltech_clips(folder: Path, classes: list[LabelClass]) -> Iterator[Clip]:
    """Every picture of every category; of each five, sorted by name, the last is held out."""
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
                audio=None,
                start=0.0,
                label=labels.get(category.name),
                category=category.name,
                split="heldout" if index % 5 == 4 else "train",
                licence=CALTECH_LICENCE,
                source="caltech101",
            )


def esc10_clips(folder: Path, classes: list[LabelClass]) -> Iterator[Clip]:
    """Every recording of every class; fold 5, the first number of a file's name, is held out."""
    labels = {known.audio_key: known.label for known in classes if known.audio_source == "esc10"}
    categories = _folders(folder)
    _refuse_absent(folder, labels, categories)
    licences = _esc10_licences(folder / "README.md")
    for category in categories:
        for path in _files(category, SOUND_SUFFIXES):
            fold = path.name.partition("-")[0]
            if fold not in ("1", "2", "3", "4", "5"):
                raise InputError(
                    f"{path} does not begin with its fold, 1 to 5 and a dash, so nothing says "
                    "whether it is held out; rename or remove it"
                )
            yield Clip(
                image=None,
                audio=str(path),
                start=0.0,
                label=labels.get(category.name),
                category=category.name,
                split="heldout" if fold == str(HELDOUT_FOLD) else "train",
                licence=licences.get(path.name, ESC10_LICENCE),
                source="esc10",
            )


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
