"""Decides which rows of a table are held out, so that no file is trained on and judged on."""

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import get_args

from echoes_training.data.index import Clip, Split

logger = logging.getLogger(__name__)

SPLITS_OF_TEN: tuple[Split, ...] = ("heldout", "validation")
"""Where the table has no split, one picture in ten is for each of these."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table of pairs.

    Attributes:
        clip: all but its split, which is not decided yet.
        picture: as the table spells its path.
        split: what the table says, or None.
    """

    clip: Clip
    picture: str
    split: Split | None


def stable_split(picture: str) -> Split:
    """The split of a picture by its path as the table spells it: the same on every machine."""
    return dict(enumerate(SPLITS_OF_TEN)).get(_draw(picture) % 10, "train")


def with_splits(rows: Sequence[Row], table: Path) -> list[Clip]:
    """The clips of ``table``; where it gives no split, those that share a file get the same one."""
    names = _group_names(rows)
    if len(set(names)) == 1:  # all hang together; a warning says what that means
        names = [str(row.clip.image) for row in rows]
    groups: dict[str, list[Row]] = {}
    for name, row in zip(names, rows, strict=True):
        groups.setdefault(name, []).append(row)
    splits = {name: _split_of(group, len(rows)) for name, group in groups.items()}
    if not any(row.split for row in rows):
        # Of a few pictures the draw may spare none, and a training needs one to be measured on.
        for wanted in reversed(SPLITS_OF_TEN):
            spare = [name for name in groups if splits[name] == "train"]
            if wanted not in splits.values() and len(spare) > 1:
                splits[min(spare, key=lambda name: _size_and_draw(groups[name]))] = wanted
    clips = [
        replace(row.clip, split=row.split or splits[name])
        for name, row in zip(names, rows, strict=True)
    ]
    _warn_of_files_in_both(clips, table)
    return clips


def _draw(picture: str) -> int:
    digest = hashlib.sha256(PurePath(picture).as_posix().encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _files(clip: Clip) -> list[str]:
    return [os.path.normpath(file) for file in (clip.image, clip.audio) if file is not None]


def _group_names(rows: Sequence[Row]) -> list[str]:
    """Of each row one file that stands for all rows that share a file with it, at any remove."""
    leaders: dict[str, str] = {}

    def leader(file: str) -> str:
        while leaders.setdefault(file, file) != file:
            leaders[file] = file = leaders[leaders[file]]  # keeps the way short
        return file

    for row in rows:
        first, *others = _files(row.clip)
        for other in others:
            leaders[leader(other)] = leader(first)
    return [leader(_files(row.clip)[0]) for row in rows]


def _split_of(group: Sequence[Row], n_rows: int) -> Split:
    """Of the rows of a group for which the table of ``n_rows`` does not say."""
    given = {row.split for row in group if row.split}
    if given:
        return next(split for split in get_args(Split) if split in given)
    if 2 * len(group) > n_rows:
        return "train"  # else little would be left of the table
    return stable_split(min((row.picture for row in group), key=_draw))


def _size_and_draw(group: Sequence[Row]) -> tuple[int, int]:
    return len(group), min(_draw(PurePath(row.picture).name) for row in group)


def _warn_of_files_in_both(clips: Sequence[Clip], table: Path) -> None:
    files: dict[bool, dict[str, None]] = {True: {}, False: {}}  # ordered sets: held out, or not
    for clip in clips:
        files[clip.split == "heldout"].update(dict.fromkeys(_files(clip)))
    if shared := [file for file in files[True] if file in files[False]]:
        logger.warning(
            "%s holds out %d files that it also uses: held-out figures will be too good: %s%s",
            table,
            len(shared),
            shared[0],
            ", ..." if len(shared) > 1 else "",
        )
