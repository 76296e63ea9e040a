"""What an independent ear hears of validation sounds while a codec or a vocoder is trained."""

from pathlib import Path

import torch
from torch import Tensor

from echoes_training.data.audio import AudioStore, to_batch
from echoes_training.data.index import Clip
from echoes_training.evaluate.ear import Ear
from echoes_training.stages.media import by_split

PER_LABEL = 4
"""Validation sounds of each label that are listened to."""


class Hearing:
    """Up to ``PER_LABEL`` validation sounds of each label, and an ear for versions of them."""

    def __init__(self, clips: list[Clip], store: AudioStore, ear: Path | None) -> None:
        """Without an ``ear``, a folder as ``Ear`` reads it, nothing is heard.

        Raises:
            InputError: if the ear cannot be read, or does not know the labels, or there are none.
        """
        members = by_split(clips, "audio")["validation"]
        labels = sorted({clip.label for clip in members if clip.label})
        chosen = [
            clip
            for label in labels
            for clip in _spread([c for c in members if c.label == label], PER_LABEL)
        ] or _spread(members, 64)
        self.labels = [clip.label for clip in chosen]
        self.samples = to_batch([store.get(str(clip.audio), clip.start) for clip in chosen])
        self.sample_rate = store.spec.sample_rate
        self._ear = None if ear is None else Ear(ear)
        if self._ear is not None:
            self._ear.check(labels)

    def heard(self, sounds: Tensor) -> dict[str, float]:
        """Shares of (N, S) versions of the sounds that are heard as what they are."""
        if self._ear is None:
            return {}
        pairs = [
            (label, sound)
            for label, sound in zip(self.labels, sounds.float().cpu().numpy(), strict=True)
            if label is not None
        ]
        return self._ear.judge(pairs, self.sample_rate).scalars("validation/ear")


def _spread(clips: list[Clip], count: int) -> list[Clip]:
    """At most ``count`` of them, evenly apart."""
    places = torch.linspace(0, len(clips) - 1, min(count, len(clips)))
    return [clips[int(place)] for place in places]
