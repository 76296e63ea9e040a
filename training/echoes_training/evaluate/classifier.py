"""The judge of sounds: a small classifier of log-mels, trained on the training split alone."""

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
from echoes_training.evaluate.fitting import (
    FitConfig,
    Verdicts,
    fit,
    kept_path,
    load_kept,
    save_kept,
    verdicts_of,
)
from echoes_training.evaluate.media import fingerprint
from echoes_training.evaluate.network import SmallResNet
from echoes_training.models.mel import MelSpectrogram

_EVAL_BATCH = 32

MIN_RMS = 1e-4
"""-80 dBFS, below which a clip counts as nothing and is not made louder."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(FitConfig):
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


class AudioClassifier(SmallResNet):
    """(B, n_mels, T) log-mels to (B, n_labels) logits; any T."""

    def __init__(self, config: ClassifierConfig, n_labels: int) -> None:
        super().__init__(
            channels=1,
            stem=(7, 4),
            widths=[config.width * 2**stage for stage in range(3)],
            embedding_dim=config.embedding_dim,
            dropout=config.dropout,
            n_labels=n_labels,
        )

    def embed(self, inputs: Tensor) -> Tensor:
        return super().embed(inputs[:, None])


class Judge:
    """A trained classifier with the labels, the mel and the lessons that belong to it.

    ``taught`` are its (N, D) embeddings of the sounds that it learned from, in their order.
    """

    def __init__(
        self, model: AudioClassifier, labels: Sequence[str], spec: MelSpec, taught: Tensor
    ) -> None:
        self.model = model.eval()
        self.labels = tuple(labels)
        self.spec = spec
        self.taught = taught

    def judge(self, sounds: Samples) -> Verdicts:
        """Of (N, S) samples, any S; a sound that is not finite counts as silence."""
        finite = np.where(np.isfinite(sounds).all(axis=1, keepdims=True), sounds, np.float32(0))
        return verdicts_of(self.model, to_mels(finite, self.spec))


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
    """Trains the judge on ``rows``, or takes it from ``cache`` if the same was trained before."""
    key = {
        "sounds": fingerprint(rows, "audio"),
        "labels": list(labels),
        "mel": dataclasses.asdict(store.spec),
        "config": dataclasses.asdict(config),
    }
    path = kept_path(cache, "classifier", key)
    if (tensors := load_kept(path)) is not None:
        taught = tensors.pop("taught")
        model = AudioClassifier(config, len(labels))
        model.load_state_dict(tensors)
        return Judge(model, labels, store.spec, taught)
    judge = train_judge(rows, labels, store, config)
    save_kept({**judge.model.state_dict(), "taught": judge.taught}, path)
    return judge


def train_judge(
    rows: Sequence[Clip], labels: Sequence[str], store: AudioStore, config: ClassifierConfig
) -> Judge:
    """Trains on rows of the training split; every label is seen equally often.

    Raises:
        ValueError: if a row is held out.
    """
    if leaked := [clip.audio for clip in rows if clip.split != "train"]:
        raise ValueError(f"held-out sounds must never train the judge, got {leaked[0]}")
    mels = _mels_of(rows, store)
    numbers = torch.tensor([labels.index(clip.label or "") for clip in rows])
    one_hot = F.one_hot(numbers, len(labels)).float()

    def draw(picks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        varied = augment(mels[picks].float(), config.augment, generator)
        return mix(varied, one_hot[picks], config.augment, generator)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = AudioClassifier(config, len(labels))
        fit(model, numbers, draw, config)
    with torch.no_grad():
        taught = torch.cat([model.embed(part.float()) for part in mels.split(_EVAL_BATCH)])
    return Judge(model, labels, store.spec, taught)


def _mels_of(rows: Sequence[Clip], store: AudioStore) -> Tensor:
    """(N, n_mels, T) in half precision, which is finer than the variation added to it."""
    mels = [
        to_mels(store.get(clip.audio or "", clip.start)[None], store.spec).half()
        for clip in tqdm(rows, desc="reading sounds", unit="clip")
    ]
    return torch.cat(mels)
