"""Fills a folder of shards, from where the last run stopped."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training.data.videos.sample import Extract
from echoes_training.data.videos.shards import (
    Entry,
    Shard,
    ShardSet,
    begin,
    lists,
    read_list,
    write_shard,
)
from echoes_training.data.videos.workers import extract_all

SKIPPED_NAME = "skipped.csv"


def fill(
    folder: Path,
    shards: Sequence[Shard],
    wanted: ShardSet,
    n_workers: int,
    advance: Callable[[int], object],
) -> int:
    """Makes the shards that ``folder`` lacks; returns how many clips that took.

    Args:
        folder: gets the shards.
        shards: all of the set.
        wanted: what they are; a folder of others is refused.
        n_workers: processes that decode.
        advance: told how many clips are done, those of earlier runs first.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        begin(folder, wanted)
        missing = [shard for shard in shards if not shard.list(folder).exists()]
        todo = [clip for shard in missing for clip in shard.clips]
        advance(wanted.n_clips - len(todo))
        with closing(extract_all(todo, wanted.form, n_workers)) as extracts:
            for shard in missing:
                write_shard(folder, shard, _told(islice(extracts, len(shard.clips)), advance))
        _write_skipped(folder)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error}") from error
    return len(todo)


def _told(extracts: Iterable[Extract], advance: Callable[[int], object]) -> Iterator[Extract]:
    for extract in extracts:
        advance(1)
        yield extract


def _write_skipped(folder: Path) -> None:
    with (
        written(folder / SKIPPED_NAME) as partial,
        partial.open("w", encoding="utf-8", newline="") as table,
    ):
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["video", "start", "label", "split", "reason", "detail"])
        for path in lists(folder):
            for e in read_list(path):
                if e.reason is not None:
                    writer.writerow([e.video, f"{e.start:g}", e.label, e.split, e.reason, e.detail])


def summary(folder: Path) -> list[str]:
    """Lines for a person: clips and hours of each split, and why others were skipped."""
    entries: list[Entry] = []
    shards = Counter[str]()
    for path in lists(folder):
        found = read_list(path)
        entries += found
        shards.update({entry.split for entry in found})
    lines = [f"{'split':<10}{'shards':>8}{'clips':>9}{'skipped':>9}{'hours':>9}"]
    for split in ("train", "heldout"):
        members = [entry for entry in entries if entry.split == split]
        good = [entry.seconds for entry in members if entry.seconds is not None]
        lines.append(
            f"{split:<10}{shards[split]:>8}{len(good):>9}{len(members) - len(good):>9}"
            f"{sum(good) / 3600:>9.2f}"
        )
    reasons = Counter(entry.reason for entry in entries if entry.reason is not None)
    if reasons:
        ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        said = ", ".join(f"{count} {reason}" for reason, count in ordered)
        lines.append(f"skipped: {said} ({folder / SKIPPED_NAME})")
    return lines
