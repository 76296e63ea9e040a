"""Which rows of the index the judge learns from, and which it judges on; never the same ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from echoes_rt.errors import InputError
from echoes_training.data.index import Clip, Split


def labels_of(clips: Sequence[Clip], judged: Split = "heldout") -> tuple[str, ...]:
    """The labels that have sounds to learn from and sounds to judge, in alphabetical order."""
    by_split = {
        split: {clip.label for clip in clips if clip.audio and clip.split == split}
        for split in ("train", judged)
    }
    labels = sorted(label for label in by_split["train"] & by_split[judged] if label)
    if len(labels) < 2:
        raise InputError(
            "evaluation needs labelled sounds of two or more labels in the splits train and "
            f"{judged} of the index, found {len(labels)}"
        )
    return tuple(labels)


def labelled_sounds(clips: Sequence[Clip], labels: Sequence[str], split: Split) -> list[Clip]:
    """Every row of one split with a sound of one of the labels."""
    return [clip for clip in clips if clip.audio and clip.label in labels and clip.split == split]


def labelled_pictures(clips: Sequence[Clip], labels: Sequence[str], split: Split) -> list[Clip]:
    """Every row of one split with a picture of one of the labels."""
    return [clip for clip in clips if clip.image and clip.label in labels and clip.split == split]


def drawn(
    rows: Sequence[Clip],
    labels: Sequence[str],
    per_label: int,
    seed: int,
    by: Literal["label", "category"] = "label",
) -> list[Clip]:
    """At most ``per_label`` rows of each label, drawn anew for each seed, in their order."""
    chosen = []
    for number, label in enumerate(labels):
        mine = [clip for clip in rows if getattr(clip, by) == label]
        order = np.random.default_rng([seed, number]).permutation(len(mine))[:per_label]
        chosen += [mine[i] for i in sorted(order)]
    return chosen


def fingerprint(clips: Sequence[Clip], medium: Literal["audio", "image"]) -> str:
    """Changes when rows are added, dropped or relabelled, or the size of a file changes."""
    digest = hashlib.sha256()
    for clip in clips:
        path = Path(getattr(clip, medium) or "")
        line = f"{path}|{path.stat().st_size}|{clip.start}|{clip.label}|{clip.split}\n"
        digest.update(line.encode())
    return digest.hexdigest()
