"""Reads a user's own pictures with their sounds, from a table or a folder."""

import logging
from collections.abc import Iterator
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_rt.io.image import READ_PICTURE_SUFFIXES
from echoes_rt.io.sound_file import is_sound_path
from echoes_training.data.index import Clip, Split
from echoes_training.data.splits import Row, with_splits
from echoes_training.data.tables import Cells, read_table

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
    rows = read_table(table, lambda cells: _row(cells, table.parent), REQUIRED, OPTIONAL)
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


def _row(cells: Cells, folder: Path) -> Row:
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
