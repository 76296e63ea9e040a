"""Shards: plain tar files of clips that the webdataset library reads, and the list of each.

A folder is filled from where the last run stopped.
"""

import csv
import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training.data.index import Split
from echoes_training.data.videos.sample import ClipForm, Extract
from echoes_training.data.videos.table import VideoClip
from echoes_training.data.videos.workers import extract_all

SET_NAME = "shards.json"
SKIPPED_NAME = "skipped.csv"


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """What a folder of shards holds when it is whole."""

    form: ClipForm
    n_clips: int
    clips_per_shard: int
    digest: str  # of the clips in their order


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A tar file and its list, which is written last: with it the shard is whole."""

    name: str
    split: Split
    clips: Sequence[VideoClip]

    def tar(self, folder: Path) -> Path:
        return folder / f"{self.name}.tar"

    def list(self, folder: Path) -> Path:
        return folder / f"{self.name}.jsonl"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One clip in the list of a shard; ``reason`` and ``detail`` are None if the tar has it."""

    key: str
    video: str
    start: float
    label: str | None
    split: Split
    seconds: float | None
    reason: str | None
    detail: str | None


def plan(clips: Iterable[VideoClip], clips_per_shard: int) -> list[Shard]:
    """The shards of each split, mixed: neighbours in a table are often of one kind."""

    def place(clip: VideoClip) -> bytes:
        return hashlib.sha256(f"{clip.key} {clip.video}".encode()).digest()

    mixed = sorted(clips, key=place)
    shards = []
    splits: tuple[Split, ...] = ("train", "heldout")
    for split in splits:
        members = [clip for clip in mixed if clip.split == split]
        for number, first in enumerate(range(0, len(members), clips_per_shard)):
            part = members[first : first + clips_per_shard]
            shards.append(Shard(name=f"{split}-{number:06d}", split=split, clips=part))
    return shards


def describe(shards: Sequence[Shard], form: ClipForm, clips_per_shard: int) -> ShardSet:
    """Where the files of the videos lie does not count: they may move, or come later."""
    clips = [clip for shard in shards for clip in shard.clips]
    digest = hashlib.sha256()
    for clip in clips:
        row = [clip.key, clip.video, clip.start, clip.seconds, clip.label, clip.split]
        digest.update(json.dumps(row).encode())
    return ShardSet(
        form=form,
        n_clips=len(clips),
        clips_per_shard=clips_per_shard,
        digest=digest.hexdigest(),
    )


def begin(folder: Path, wanted: ShardSet) -> None:
    """Marks a folder as that of ``wanted``.

    Raises:
        InputError: if it holds shards of other clips or of another form.
    """
    path = folder / SET_NAME
    if path.exists():
        found = read_set(folder)
        if found != wanted:
            old, new = asdict(found), asdict(wanted)
            pairs = {**old, **old["form"]}, {**new, **new["form"]}
            names = [k for k in pairs[0] if pairs[0][k] != pairs[1][k] and k != "form"]
            raise InputError(
                f"{folder} holds shards of another set: {', '.join(names)} differ; "
                "pass the same settings and table, or another --out"
            )
    with written(path) as partial:
        partial.write_text(json.dumps(asdict(wanted), indent=2) + "\n", encoding="utf-8")


def read_set(folder: Path) -> ShardSet:
    """Raises InputError if ``folder`` has no shards."""
    try:
        values: dict[str, Any] = json.loads((folder / SET_NAME).read_text(encoding="utf-8"))
        return ShardSet(**{**values, "form": ClipForm(**values["form"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} is not a folder of shards: cannot read its {SET_NAME}; make them with "
            "`echoes-train prepare videos`"
        ) from error


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

    def told(extracts: Iterable[Extract]) -> Iterator[Extract]:
        for extract in extracts:
            advance(1)
            yield extract

    try:
        folder.mkdir(parents=True, exist_ok=True)
        begin(folder, wanted)
        missing = [shard for shard in shards if not shard.list(folder).exists()]
        todo = [clip for shard in missing for clip in shard.clips]
        advance(wanted.n_clips - len(todo))
        with closing(extract_all(todo, wanted.form, n_workers)) as extracts:
            for shard in missing:
                write_shard(folder, shard, told(islice(extracts, len(shard.clips))))
        _write_skipped(folder)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error}") from error
    return len(todo)


def write_shard(folder: Path, shard: Shard, extracts: Iterable[Extract]) -> None:
    """Writes the tar, then its list; each gets its name when it is whole."""
    lines = []
    with (
        written(shard.tar(folder)) as partial,
        tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for clip, extract in zip(shard.clips, extracts, strict=True):
            for suffix, data in extract.files.items():
                info = tarfile.TarInfo(f"{clip.key}.{suffix}")  # no time, no owner
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            lines.append(json.dumps(asdict(_entry(clip, extract)), ensure_ascii=False) + "\n")
    with written(shard.list(folder)) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def _entry(clip: VideoClip, extract: Extract) -> Entry:
    fault = extract.fault
    return Entry(
        key=clip.key,
        video=clip.video,
        start=clip.start,
        label=clip.label,
        split=clip.split,
        seconds=json.loads(extract.files["json"])["seconds"] if fault is None else None,
        reason=None if fault is None else fault.reason,
        detail=None if fault is None else fault.detail,
    )


def lists(folder: Path) -> list[Path]:
    """Of all shards that are whole, by name."""
    return sorted(folder.glob("*-[0-9]*.jsonl"))


def read_list(path: Path) -> list[Entry]:
    """Raises InputError if it is not the list of a shard."""
    try:
        return [Entry(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not the list of a shard: {error}") from error


def read_tar(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each clip's key and files by suffix, read from front to back.

    Raises:
        InputError: if the tar cannot be read.
    """
    key, files = "", dict[str, bytes]()
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name, _, suffix = member.name.partition(".")
                if name != key and files:
                    yield key, files
                    files = {}
                file = tar.extractfile(member)
                if file is not None:
                    key, files[suffix] = name, file.read()
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"the shard {path} cannot be read: {error}") from error
    if files:
        yield key, files


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
