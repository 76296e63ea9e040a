"""The index: one JSON line per picture, sound or pair, with its label, split and licence."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written

Split = Literal["train", "validation", "heldout"]
"""Weights learn from ``train``; every choice is made on ``validation``; figures that are published
are computed once, on ``heldout``."""
Source = Literal["caltech101", "esc10", "sounds", "soundfont", "pairs"]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One picture, one sound, or one picture with its sound.

    ``start`` is in seconds into the audio. ``label`` joins pictures to sounds and is None for media
    that only the codecs learn from; ``category`` is the finer class that the source itself gives.
    ``recording`` is what was recorded, by default the file: clips with the same one are in the same
    split, and sounds are drawn by recording, so that a long one counts no more than a short one.
    """

    image: str | None = None
    audio: str | None = None
    start: float = 0.0
    label: str | None = None
    category: str
    split: Split
    licence: str
    source: Source
    recording: str = ""

    def __post_init__(self) -> None:
        if self.image is None and self.audio is None:
            raise ValueError("a clip needs an image, an audio or both")
        if not self.recording:
            object.__setattr__(self, "recording", self.audio or self.image)
        if not 0 <= self.start < float("inf"):
            raise ValueError(f"start must be 0 or more seconds, got {self.start}")
        _check_member("split", self.split, get_args(Split))
        _check_member("source", self.source, get_args(Source))


def shared_labels(clips: Iterable[Clip]) -> dict[str, list[str]]:
    """Those that pictures and sounds share, and the categories of the pictures, all sorted."""
    known = [clip for clip in clips if clip.label]
    sounds = {clip.label for clip in known if clip.audio}
    pictures = sorted((str(c.label), c.category) for c in known if c.image and c.label in sounds)
    shared: dict[str, list[str]] = {}
    for label, category in dict.fromkeys(pictures):
        shared.setdefault(label, []).append(category)
    return shared


def read_index(path: Path) -> list[Clip]:
    """Read an index; the paths of its media come back absolute.

    Raises:
        InputError: if the file cannot be read or a line breaks the rules; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the index {path}: {error}; make one with `echoes-train prepare`"
        ) from error
    folder = path.parent.resolve()

    def lengthen(media: str) -> str:
        return os.path.normpath(folder / media)

    clips = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            clip = _clip_from_line(line)
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from error
        clips.append(_with_paths(clip, lengthen))
    if not clips:
        raise InputError(f"the index {path} has no rows; make one with `echoes-train prepare`")
    return clips


def write_index(path: Path, clips: Iterable[Clip]) -> None:
    """Write the index whole or not at all; media below its folder get relative paths."""
    folder = path.parent.resolve()

    def shorten(media: str) -> str:
        absolute = Path(os.path.abspath(media))  # noqa: PTH100  links stay as the user made them
        below = absolute.is_relative_to(folder)
        return absolute.relative_to(folder).as_posix() if below else absolute.as_posix()

    with written(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for clip in clips:
            row = dataclasses.asdict(_with_paths(clip, shorten))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def with_recordings_whole(clips: Iterable[Clip]) -> list[Clip]:
    """The clips, with recordings that are in train and in validation kept in train alone.

    Raises:
        InputError: for a recording that is held out in one row and not in another.
    """
    clips = list(clips)
    splits: dict[str, set[Split]] = {}
    for clip in clips:
        splits.setdefault(clip.recording, set()).add(clip.split)
    if torn := sorted(r for r, found in splits.items() if "heldout" in found and len(found) > 1):
        raise InputError(
            f"the recording {torn[0]!r} is held out in one row and not in another "
            f"({len(torn)} such recordings); give all rows of a recording the same split"
        )
    return [
        dataclasses.replace(clip, split="train") if len(splits[clip.recording]) > 1 else clip
        for clip in clips
    ]


def _with_paths(clip: Clip, change: Callable[[str], str]) -> Clip:
    return dataclasses.replace(
        clip,
        image=None if clip.image is None else change(clip.image),
        audio=None if clip.audio is None else change(clip.audio),
    )


def _clip_from_line(line: str) -> Clip:
    row = json.loads(line)  # its JSONDecodeError is a ValueError
    if not isinstance(row, dict):
        raise ValueError(f"a row must be a JSON object, got {type(row).__name__}")
    fields = dataclasses.fields(Clip)
    names = [field.name for field in fields]
    if missing := [
        f.name for f in fields if f.default is dataclasses.MISSING and f.name not in row
    ]:
        raise ValueError(f"the row lacks {', '.join(missing)}")
    if unknown := [name for name in row if name not in names]:
        raise ValueError(f"unknown field {', '.join(unknown)}; allowed are {', '.join(names)}")
    for name in row:
        _check_type(name, row[name])
    return Clip(**{**row, "start": float(row.get("start", 0.0))})


def _check_type(name: str, value: object) -> None:
    if name == "start":
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        allowed = "a number"
    elif name in ("image", "audio", "label"):
        good, allowed = value is None or (isinstance(value, str) and value != ""), "text or null"
    else:
        good, allowed = isinstance(value, str), "text"
    if not good:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _check_member(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
