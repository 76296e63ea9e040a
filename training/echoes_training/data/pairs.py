"""Reads a user's own table of pictures with their sounds, CSV or JSON lines."""

import csv
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_rt.io.image import READ_PICTURE_SUFFIXES
from echoes_rt.io.sound_file import is_sound_path
from echoes_training.data.index import Clip, Split
from echoes_training.data.splits import Row, with_splits

logger = logging.getLogger(__name__)

REQUIRED = ("image", "audio")
OPTIONAL = ("start", "label", "split", "licence")
SPLITS: dict[str, Split | None] = {
    "": None,
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "heldout": "heldout",
    "test": "heldout",
}


def read_pairs(table: Path) -> list[Clip]:
    """Read a table, or a folder in which a picture and its sound have the same name.

    Relative paths are taken from the table's own folder.

    Raises:
        InputError: names file and line of the first row that breaks the rules. Whether the media
            exist is not looked at here.
    """
    if table.is_dir():
        return with_splits([*_named_alike(table)], table)
    if table.suffix.lower() not in (".csv", ".jsonl"):
        raise InputError(f"a table of pairs must be a .csv or .jsonl file, got {table}")
    lines = _csv_rows(table) if table.suffix.lower() == ".csv" else _json_rows(table)
    rows = []
    try:
        for line, cells in lines:
            try:
                rows.append(_row(cells, table.parent))
            except ValueError as error:
                raise InputError(f"{table}:{line}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the table {table}: {error}") from error
    if not rows:
        raise InputError(f"{table} has no rows")
    return with_splits(rows, table)


def _named_alike(folder: Path) -> Iterator[Row]:
    """dog.jpg and dog.wav, in the folder or one below it.

    Raises:
        InputError: if there are none, or several sounds of one name.
    """
    media: dict[Path, dict[str, list[Path]]] = {}
    for path in sorted(folder.rglob("*")):
        kind = "image" if path.suffix.lower() in READ_PICTURE_SUFFIXES else "audio"
        if kind == "image" or is_sound_path(path):
            found = media.setdefault(path.relative_to(folder).with_suffix(""), {})
            found.setdefault(kind, []).append(path)
    paired = {name: found for name, found in media.items() if len(found) == len(REQUIRED)}
    if not paired:
        raise InputError(
            f"{folder} has no picture and sound of the same name, as dog.jpg and dog.wav"
        )
    if len(paired) < len(media):
        alone = [str(name) for name in media if name not in paired]
        more = f" and {len(alone) - 9} more" if len(alone) > 9 else ""
        logger.warning("without a partner in %s: %s%s", folder, ", ".join(alone[:9]), more)
    for name, found in paired.items():
        if len(found["audio"]) > 1:
            raise InputError(f"{folder} has several sounds of the name {name}; keep one")
        for image in found["image"]:
            cells = {
                "image": str(image.relative_to(folder)),
                "audio": str(found["audio"][0].relative_to(folder)),
            }
            yield _row(cells, folder)


def _csv_rows(table: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    with table.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write the BOM
        header = file.readline()
        file.seek(0)
        # As spreadsheets write where the comma is the decimal point.
        delimiter = ";" if ";" in header and "," not in header else ","
        reader = csv.DictReader(file, restkey="a cell without a column", delimiter=delimiter)
        _check_columns(f"{table}:1", reader.fieldnames or ())
        for row in reader:
            yield reader.line_num, row


def _json_rows(table: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    with table.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{table}:{number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(
                    f"{table}:{number}: a row must be a JSON object, got {line[:40]!r}"
                )
            _check_columns(f"{table}:{number}", row)
            yield number, row


def _check_columns(place: str, names: Collection[str]) -> None:
    if missing := [name for name in REQUIRED if name not in names]:
        raise InputError(
            f"{place}: columns missing: {', '.join(missing)}; found: {', '.join(names) or 'none'}"
        )
    if unknown := [name for name in names if name not in (*REQUIRED, *OPTIONAL)]:
        raise InputError(
            f"{place}: unknown column {', '.join(map(repr, unknown))}; "
            f"allowed are {', '.join((*REQUIRED, *OPTIONAL))}"
        )


def _row(row: Mapping[str, object], folder: Path) -> Row:
    if unknown := [name for name in row if name not in (*REQUIRED, *OPTIONAL)]:
        raise ValueError(f"the row has {unknown[0]}: {row[unknown[0]]!r}")
    cells = {name: "" if value is None else str(value).strip() for name, value in row.items()}
    if empty := [name for name in REQUIRED if not cells[name]]:
        raise ValueError(f"{' and '.join(empty)} is empty")
    split = cells.get("split", "")
    if split not in SPLITS:
        raise ValueError(f"split must be {', '.join(filter(None, SPLITS))}, got {split!r}")
    label = cells.get("label") or None
    clip = Clip(
        image=str(folder.resolve() / cells["image"]),
        audio=str(folder.resolve() / cells["audio"]),
        start=_seconds(cells.get("start") or "0"),
        label=label,
        category=label or "pairs",
        split="train",  # until all rows are known
        licence=cells.get("licence") or "unstated",
        source="pairs",
    )
    return Row(clip=clip, picture=cells["image"], split=SPLITS[split])


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"start must be a number of seconds, got {text!r}") from error
