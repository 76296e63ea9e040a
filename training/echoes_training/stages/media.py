"""The pictures and the sounds of clips: as batches for codecs, and which comes next."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec
from echoes_training.data import image as image_data
from echoes_training.data.audio import ANYWHERE, AudioStore, Variation
from echoes_training.data.audio import to_batch as audio_batch
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip
from echoes_training.data.resident import ResidentPictures, ResidentSounds, SoundView
from echoes_training.models.mel import MelSpectrogram
from echoes_training.sample_sheets import write_mel_sheet


class Medium(Protocol):
    """What differs between pictures and sounds."""

    clips: dict[str, list[Clip]]

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        """(B, C, H, W); augmented if there is a generator."""
        ...

    def views(self, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
        """(B, C, H, W): each clip augmented by its own generator."""
        ...

    def reside(self, device: torch.device) -> None:
        """Puts the training clips on the device, where ``views`` then augments them."""
        ...

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None: ...


class Specs(Protocol):
    """Anything that says what media a codec is for: its settings, or the codec itself."""

    @property
    def image(self) -> ImageSpec: ...

    @property
    def mel(self) -> MelSpec: ...


class Pictures:
    def __init__(self, clips: list[Clip], specs: Specs) -> None:
        self.clips = by_split(clips, "image")
        self.spec = specs.image
        self.store = ImageStore(specs.image)
        self.resident: ResidentPictures | None = None

    def reside(self, device: torch.device) -> None:
        paths = [str(clip.image) for clip in self.clips["train"]]
        self.resident = ResidentPictures(self.store, paths, device)

    def views(self, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
        if self.resident is not None:
            return self.resident.augmented([str(clip.image) for clip in clips], generators)
        return _one_by_one(self, clips, generators)

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        paths = [c.image for c in clips if c.image]
        if rng is None:
            pictures = [self.store.centred(p) for p in paths]
        else:
            pictures = [self.store.augmented(p, rng) for p in paths]
        return image_data.to_batch(pictures, self.spec)

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None:
        rows = [image_data.to_pixels(x, self.spec) for x in (real, decoded)]
        image_data.write_sheet(path, rows)


class Mels:
    def __init__(self, clips: list[Clip], specs: Specs, variation: Variation = ANYWHERE) -> None:
        self.variation = variation
        self.clips = by_split(clips, "audio")
        self.store = AudioStore(specs.mel)
        self.mel = MelSpectrogram(specs.mel)
        self.resident: ResidentSounds | None = None

    def reside(self, device: torch.device) -> None:
        self.resident = ResidentSounds(self.store, self.clips["train"], device)
        self.resident_mel = MelSpectrogram(self.mel.spec).to(device)

    def views(self, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
        if self.resident is None:
            return _one_by_one(self, clips, generators)
        views = [SoundView.draw(self.variation, self.mel.spec, rng) for rng in generators]
        return self.resident_mel(self.resident.varied(clips, views, self.variation))[:, None]

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        if rng is None:
            sounds = [self.store.get(str(c.audio), c.start) for c in clips]
        else:
            sounds = [
                self.store.augmented(str(c.audio), c.start, rng, self.variation) for c in clips
            ]
        return self.mel(audio_batch(sounds))[:, None]

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None:
        write_mel_sheet(path, [real[:, 0], decoded[:, 0]], self.mel.spec)


def _one_by_one(medium: Medium, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
    """Alone each, as a mel's last bits depend on how many are computed with it."""
    pairs = zip(clips, generators, strict=True)
    return torch.cat([medium.batch([clip], rng) for clip, rng in pairs])


def by_split(clips: list[Clip], medium: str) -> dict[str, list[Clip]]:
    """The clips with ``image`` or ``audio``.

    Raises:
        InputError: if none is for training or none for validation.
    """
    members = [clip for clip in clips if getattr(clip, medium)]
    splits = {name: [c for c in members if c.split == name] for name in ("train", "validation")}
    for name, found in splits.items():
        if not found:
            raise InputError(
                f"the index has no {name} clip with {medium}; prepare more data, or give rows of "
                f"your table the split {name}"
            )
    return splits


class Draws:
    """Draws clips: a label, then one of its recordings, then a clip of that.

    So a long recording counts no more than a short one.
    """

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
