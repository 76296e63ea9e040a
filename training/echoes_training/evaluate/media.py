"""Which rows of the index the judge learns from, and which it judges on; never the same ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from echoes_rt.errors import InputError
from echoes_training.data.index import Clip, Split


def labels_of(clips: Sequence[Clip]) -> tuple[str, ...]:
    """The labels that have sounds to learn from and sounds held out, in alphabetical order."""
    by_split = {
        split: {clip.label for clip in clips if clip.audio and clip.split == split}
        for split in ("train", "heldout")
    }
    labels = sorted(label for label in by_split["train"] & by_split["heldout"] if label)
    if len(labels) < 2:
        raise InputError(
            "evaluation needs labelled sounds of two or more labels in both splits of the index, "
            f"found {len(labels)}"
        )
    return tuple(labels)


def labelled_sounds(clips: Sequence[Clip], labels: Sequence[str], split: Split) -> list[Clip]:
    """Every row of one split with a sound of one of the labels."""
    return [clip for clip in clips if clip.audio and clip.label in labels and clip.split == split]


def heldout_pictures(
    clips: Sequence[Clip], labels: Sequence[str], per_label: int, seed: int
) -> list[Clip]:
    """At most ``per_label`` held-out pictures of each label, drawn anew for each seed."""
    chosen = []
    for number, label in enumerate(labels):
        rows = [c for c in clips if c.image and c.label == label and c.split == "heldout"]
        order = np.random.default_rng([seed, number]).permutation(len(rows))[:per_label]
        chosen += [rows[i] for i in sorted(order)]
    return chosen


def fingerprint(clips: Sequence[Clip]) -> str:
    """Changes when rows are added, dropped or relabelled, or a sound's size changes."""
    digest = hashlib.sha256()
    for clip in clips:
        path = Path(clip.audio or "")
        line = f"{path}|{path.stat().st_size}|{clip.start}|{clip.label}|{clip.split}\n"
        digest.update(line.encode())
    return digest.hexdigest()
