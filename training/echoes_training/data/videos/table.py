"""Which stretch of which video is a clip: VGGSound's csv, AudioSet's csv, or a folder alone."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_training.data.index import Split
from echoes_training.data.splits import stable_split

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")

VGGSOUND_SPLITS: dict[str, Split] = {"train": "train", "test": "heldout"}
VGGSOUND_S = 10.0
"""Its table gives no end: every clip lasts this long."""


@dataclass(frozen=True, kw_only=True)
class VideoClip:
    """A stretch of a video.

    Attributes:
        key: name in the shards, unique among the clips of a table or a folder.
        video: YouTube id, or the file as spelt below its folder.
        path: None if the folder has no file of this video.
        start: seconds into the video, as the table says.
        offset: seconds into the file, which may hold no more than this stretch.
        seconds: longest length.
        label: one or more, as the table spells them.
    """

    key: str
    video: str
    path: Path | None
    start: float
    offset: float
    seconds: float
    label: str | None
    split: Split


def read_table(
    table: Path, folder: Path, *, seconds: float, cut: bool, split: Split | None = None
) -> list[VideoClip]:
    """The clips of a table, each with its file below ``folder``.

    Args:
        table: rows ``id, start, label, train|test`` as in VGGSound or ``id, start, end, labels`` as
            in AudioSet; a header and lines that begin with # are passed over.
        folder: searched in all its folders.
        seconds: longest length of a clip.
        cut: a file named by the id alone holds only the stretch, not the video that it is cut from.
        split: of rows that name none; None holds one video in ten out, always the same ones.

    Raises:
        InputError: names file and line of the first row that breaks the rules.
    """
    files = {path.stem: path for path in reversed(_videos(folder))}
    clips = []
    try:
        for line, cells in _rows(table):
            try:
                clips.append(_clip(line, cells, files, seconds, cut, split))
            except ValueError as error:
                raise InputError(f"{table}:{line}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the table {table}: {error}") from error
    if not clips:
        raise InputError(f"{table} has no rows")
    if not any(clip.path for clip in clips):
        raise InputError(
            f"{folder} has a file for none of the {len(clips)} rows of {table}; its videos must be "
            f"named like {clips[0].video}.mp4 or {_stems(clips[0].video, clips[0].start, None)[0]}"
            ".mp4"
        )
    return clips


def folder_clips(folder: Path, *, seconds: float, split: Split | None = None) -> list[VideoClip]:
    """The beginning of every video below ``folder``; the name of its folder is its label."""
    clips = []
    for number, path in enumerate(_videos(folder)):
        video = path.relative_to(folder).as_posix()
        clips.append(
            VideoClip(
                key=f"{number:08d}",
                video=video,
                path=path,
                start=0.0,
                offset=0.0,
                seconds=seconds,
                label=None if path.parent == folder else path.parent.name,
                split=split or stable_split(video),
            )
        )
    if not clips:
        raise InputError(f"{folder} has no videos: no file ends in {', '.join(VIDEO_SUFFIXES)}")
    return clips


def _videos(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)


def _rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)  # AudioSet has blanks behind its commas
        is_first = True
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            is_header = is_first and len(cells) > 1 and not _is_number(cells[1])
            is_first = False
            if not is_header:
                yield reader.line_num, cells


def _clip(
    line: int,
    cells: list[str],
    files: dict[str, Path],
    seconds: float,
    cut: bool,
    split: Split | None,
) -> VideoClip:
    if len(cells) != 4:
        raise ValueError(
            f"a row needs 4 cells (id, start, label, split or id, start, end, labels), got "
            f"{len(cells)}"
        )
    video, start_text, third, fourth = cells
    if not video:
        raise ValueError("the id is empty")
    start = _time("start", start_text)
    end = None
    if _is_number(third):
        end, label = _time("end", third), fourth
        if end <= start:
            raise ValueError(f"end must be after start, got {start_text} and {third}")
        split = split or stable_split(video)
    elif fourth in VGGSOUND_SPLITS:
        label, split = third, VGGSOUND_SPLITS[fourth]
    else:
        raise ValueError(f"split must be {' or '.join(VGGSOUND_SPLITS)}, got {fourth!r}")
    stem = next((stem for stem in _stems(video, start, end) if stem in files), None)
    return VideoClip(
        key=f"{line:08d}",
        video=video,
        path=files.get(video if stem is None else stem),
        start=start,
        offset=0.0 if stem is not None or cut else start,
        seconds=seconds if end is None else min(seconds, end - start),
        label=label or None,
        split=split,
    )


def _stems(video: str, start: float, end: float | None) -> list[str]:
    """The names under which downloaders save a clip that they have cut out."""
    end = start + VGGSOUND_S if end is None else end
    return [
        f"{video}_{start:06.0f}",
        f"{video}_{start:.0f}",
        f"{video}_{start:.0f}_{end:.0f}",
        f"{video}_{1000 * start:.0f}_{1000 * end:.0f}",
        f"{video}_{start:.3f}_{end:.3f}",
    ]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _time(name: str, text: str) -> float:
    if not _is_number(text) or float(text) < 0:
        raise ValueError(f"{name} must be 0 or more seconds, got {text!r}")
    return float(text)
