"""The judge of sounds, by their log-mels."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from echoes_rt.format.mel import MelSpec
from echoes_training.data.audio import AudioStore, Samples
from echoes_training.data.index import Clip
from echoes_training.evaluate.augment import AugmentConfig, augment, mix
from echoes_training.evaluate.judge import Classifier, JudgeConfig, Verdicts, fit, kept, numbers_of
from echoes_training.evaluate.media import fingerprint
from echoes_training.models.mel import MelSpectrogram

_EVAL_BATCH = 32

MIN_RMS = 1e-4
"""-80 dBFS, below which a clip counts as nothing and is not made louder."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(JudgeConfig):
    """How the judge is built and trained; together with the sounds it names the kept file."""

    width: int = 24
    embedding_dim: int = 64
    dropout: float = 0.2
    steps: int = 400
    batch_size: int = 36
    lr: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    augment: AugmentConfig = field(default_factory=AugmentConfig)


class SoundClassifier(Classifier):
    """Of (B, 1, n_mels, T) log-mels, any T.

    ``taught`` are its (N, D) embeddings of the sounds that it learned from, in their order.
    """

    taught: Tensor

    def __init__(self, config: ClassifierConfig, n_labels: int, n_taught: int) -> None:
        super().__init__(config, channels=1, stages=3, n_labels=n_labels)
        self.register_buffer("taught", torch.zeros(n_taught, config.embedding_dim))


class Judge:
    """A trained classifier with the mel that it reads."""

    def __init__(self, model: SoundClassifier, spec: MelSpec) -> None:
        self.model = model
        self.spec = spec

    def judge(self, sounds: Samples) -> Verdicts:
        """Of (N, S) samples, any S; a sound that is not finite counts as silence."""
        finite = np.where(np.isfinite(sounds).all(axis=1, keepdims=True), sounds, np.float32(0))
        return self.model.verdicts(to_mels(finite, self.spec)[:, None])


def to_mels(sounds: Samples, spec: MelSpec) -> Tensor:
    """(B, S) samples to (B, n_mels, T) log-mels in [-1, 1], all brought to -20 dBFS RMS.

    How loud a recording is says nothing of what it shows, and loudness is reported by itself.
    """
    rms = np.sqrt(np.mean(np.square(sounds), axis=1, keepdims=True))
    levelled = sounds * np.where(rms > MIN_RMS, 0.1 / np.maximum(rms, MIN_RMS), 1.0)
    return MelSpectrogram(spec)(torch.from_numpy(levelled.astype(np.float32)))


def cached_judge(
    cache: Path,
    rows: Sequence[Clip],
    labels: Sequence[str],
    store: AudioStore,
    config: ClassifierConfig,
) -> Judge:
    """Trains the judge on ``rows``, or takes it from ``cache`` if the same was trained before.

    Raises:
        ValueError: if a row is held out.
    """
    numbers = numbers_of(rows, labels)
    key = {
        "sounds": fingerprint(rows, "audio"),
        "labels": list(labels),
        "mel": dataclasses.asdict(store.spec),
        "config": dataclasses.asdict(config),
    }

    def make() -> SoundClassifier:
        return SoundClassifier(config, len(labels), len(rows))

    def learn(model: Classifier) -> None:
        mels = _mels_of(rows, store)
        one_hot = F.one_hot(numbers, len(labels)).float()

        def draw(picks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            varied = augment(mels[picks].float(), config.augment, generator)
            blended, targets = mix(varied, one_hot[picks], config.augment, generator)
            return blended[:, None], targets

        fit(model, numbers, draw, config)
        with torch.no_grad():
            parts = [model.embed(part[:, None].float()) for part in mels.split(_EVAL_BATCH)]
        model.get_buffer("taught").copy_(torch.cat(parts))

    model = kept(cache, "classifier", key, config.seed, make, learn)
    assert isinstance(model, SoundClassifier)
    return Judge(model, store.spec)


def _mels_of(rows: Sequence[Clip], store: AudioStore) -> Tensor:
    """(N, n_mels, T) in half precision, which is finer than the variation added to it."""
    mels = [
        to_mels(store.get(clip.audio or "", clip.start)[None], store.spec).half()
        for clip in tqdm(rows, desc="reading sounds", unit="clip")
    ]
    return torch.cat(mels)
