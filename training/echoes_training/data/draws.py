"""Which sound comes next: by label and recording, so that a long one counts no more than others."""

from collections.abc import Sequence

import numpy as np

from echoes_training.data.index import Clip


class Draws:
    """Draws clips: a label, then one of its recordings, then a clip of that."""

    def __init__(self, clips: Sequence[Clip], labelled_share: float) -> None:
        """``labelled_share`` of the draws are of clips that have a label, if there are any."""
        self.everything = by_recording(clips)
        self.labels = [
            by_recording([clip for clip in clips if clip.label == label])
            for label in sorted({clip.label for clip in clips if clip.label})
        ]
        self.labelled_share = labelled_share if self.labels else 0.0

    def clip(self, rng: np.random.Generator) -> Clip:
        recordings = self.everything
        if rng.random() < self.labelled_share:
            recordings = self.labels[int(rng.integers(len(self.labels)))]
        recording = recordings[int(rng.integers(len(recordings)))]
        return recording[int(rng.integers(len(recording)))]


def by_recording(clips: Sequence[Clip]) -> list[list[Clip]]:
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.recording, []).append(clip)
    return list(groups.values())
