"""What is left of real sounds after each part of the chain from log-mel to codes and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from echoes_rt.format.mel import MelSpec
from echoes_training.cost import count_flops
from echoes_training.data.audio import AudioStore, Samples
from echoes_training.data.index import Clip, Split
from echoes_training.evaluate.ear import Ear, Verdicts
from echoes_training.evaluate.evaluation import batches
from echoes_training.evaluate.figures import draw_sound, save_figure
from echoes_training.evaluate.frechet import fit_gaussian, frechet_distance
from echoes_training.evaluate.griffin_lim import griffin_lim
from echoes_training.evaluate.judge import ClassifierConfig, cached_judge
from echoes_training.evaluate.media import drawn, labelled_sounds, labels_of
from echoes_training.evaluate.pitch import kept_within_a_semitone
from echoes_training.evaluate.scores import hear
from echoes_training.models.codec import Codec, draw_noise
from echoes_training.models.mel import MelSpectrogram

BATCH = 8
MELODIC = ("euphonium", "saxophone")
"""Labels whose renderings are one voice, so that a pitch can be told."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A mel codec and a vocoder, from their training runs, for sounds of ``mel``."""

    codec: Codec
    vocoder: nn.Module
    mel: MelSpec

    @torch.no_grad()
    def versions(self, sounds: Tensor) -> dict[str, Tensor]:
        """(B, S) sounds after each part, by name."""
        mel = MelSpectrogram(self.mel)(sounds)
        decoded = self._through_codec(mel)
        return {
            "real": sounds,
            "mel, Griffin-Lim": griffin_lim(mel, self.mel),
            "mel, vocoder": self.vocoder(mel),
            "codec, Griffin-Lim": griffin_lim(decoded, self.mel),
            "codec, vocoder": self.vocoder(decoded),
        }

    def _through_codec(self, mel: Tensor) -> Tensor:
        codes = self.codec.encode(mel[:, None])
        grid = self.codec.grid(self.mel.n_mels, self.mel.n_frames)
        noise = draw_noise(self.codec, grid, len(mel), torch.Generator().manual_seed(0))
        return self.codec.decode(codes, noise)[:, 0]

    def cost(self) -> tuple[float, int]:
        """GFLOP of mel decoder and vocoder for one clip, and codes a clip."""
        grid = self.codec.grid(self.mel.n_mels, self.mel.n_frames)
        codes = torch.zeros(1, grid.height, grid.width, dtype=torch.long)
        noise = draw_noise(self.codec, grid, 1)
        flops = count_flops(lambda: self.vocoder(self.codec.decode(codes, noise)[:, 0]))
        return flops / 1e9, grid.n_tokens


@dataclass(frozen=True, kw_only=True)
class Row:
    """One version of all sounds.

    Attributes:
        heard: by the independent ear.
        frechet: distance to the real sounds, of the judge's embeddings.
        in_tune: share of frames with a pitch that keep it within a semitone; None without any.
    """

    name: str
    heard: Verdicts
    frechet: float
    in_tune: float | None


def listen(
    chain: Chain,
    clips: Sequence[Clip],
    split: Split,
    ear: Ear,
    cache: Path,
    per_label: int,
    sheet: Path,
) -> list[Row]:
    """Judges up to ``per_label`` real sounds of each label, and draws the first of each.

    The judge is trained on the clips of ``train``, or comes from the folder ``cache``.
    """
    store = AudioStore(chain.mel)
    labels = labels_of(clips, split)
    ear.check(labels)
    members = drawn(labelled_sounds(clips, labels, split), labels, per_label, 0)
    taught = labelled_sounds(clips, labels, "train")
    judge = cached_judge(cache, taught, labels, store, ClassifierConfig())
    parts: dict[str, list[Samples]] = {}
    for some in batches(members, BATCH):
        sounds = np.stack([store.get(str(clip.audio), clip.start) for clip in some])
        for name, version in chain.versions(torch.from_numpy(sounds)).items():
            parts.setdefault(name, []).append(version.float().numpy())
    numbers = np.array([labels.index(str(clip.label)) for clip in members])
    heard = {name: hear(judge, some, numbers, ear, labels) for name, some in parts.items()}
    made = {name: np.concatenate(some) for name, some in parts.items()}
    _draw(sheet, members, made, chain.mel)
    whole = fit_gaussian(heard["real"].embeddings)
    return [
        Row(
            name=name,
            heard=found.by_ear,
            frechet=frechet_distance(whole, fit_gaussian(found.embeddings)),
            in_tune=_in_tune(members, made["real"], made[name], chain.mel.sample_rate),
        )
        for name, found in heard.items()
        if found.by_ear is not None
    ]


def _in_tune(
    members: Sequence[Clip], real: Samples, other: Samples, sample_rate: int
) -> float | None:
    kept = voiced = 0
    for clip, a, b in zip(members, real, other, strict=True):
        if clip.source == "soundfont" and clip.label in MELODIC:
            near, all_frames = kept_within_a_semitone(a, b, sample_rate)
            kept, voiced = kept + near, voiced + all_frames
    return kept / voiced if voiced else None


def _draw(path: Path, members: Sequence[Clip], made: dict[str, Samples], spec: MelSpec) -> None:
    """A line of spectrograms for the first sound of each label."""
    firsts = {clip.label: i for i, clip in reversed([*enumerate(members)])}
    figure = Figure(figsize=(2.6 * len(made), 1.3 * len(firsts)), layout="constrained")
    axes = figure.subplots(len(firsts), len(made), squeeze=False)
    for line, (label, place) in zip(axes, sorted(firsts.items()), strict=True):
        for axis, (name, sounds) in zip(line, made.items(), strict=True):
            draw_sound(axis, sounds[place], spec, f"{str(label).replace('_', ' ')}: {name}")
    save_figure(figure, path)
