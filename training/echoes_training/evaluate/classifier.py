"""The judge: a small classifier of log-mels, trained once on real sounds of the training split."""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_rt.spec.mel import MelSpec
from echoes_training.data.audio import AudioStore, Samples
from echoes_training.data.index import Clip
from echoes_training.evaluate.augment import AugmentConfig, augment, mix
from echoes_training.evaluate.media import fingerprint
from echoes_training.models.mel import MelSpectrogram

logger = logging.getLogger(__name__)

_EVAL_BATCH = 32

MIN_RMS = 1e-4
"""-80 dBFS, below which a clip counts as nothing and is not made louder."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """How the judge is built and trained; together with the sounds it names the cached file."""

    width: int = 24
    embedding_dim: int = 64
    dropout: float = 0.2
    steps: int = 400
    batch_size: int = 36
    lr: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    seed: int = 0


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, at half the resolution."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


class AudioClassifier(nn.Module):
    """(B, n_mels, T) log-mels to (B, n_labels) logits; any T."""

    def __init__(self, config: ClassifierConfig, n_labels: int) -> None:
        super().__init__()
        width = config.width
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 7, (4, 4), 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _Residual(width, width, 1),
            _Residual(width, 2 * width, 2),
            _Residual(2 * width, 4 * width, 2),
        )
        self.project = nn.Linear(8 * width, config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.embedding_dim, n_labels)

    def embed(self, mels: Tensor) -> Tensor:
        """(B, embedding_dim), what the last layer reads."""
        features = self.body(mels[:, None])
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return F.relu(self.project(pooled))

    def forward(self, mels: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(mels)))


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Of N sounds: (N,) predicted label numbers and (N, D) embeddings."""

    predicted: NDArray[np.int64]
    embeddings: NDArray[np.float64]


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

    @torch.no_grad()
    def judge(self, sounds: Samples) -> Verdicts:
        """Of (N, S) samples; a sound that is not finite counts as silence."""
        finite = np.where(np.isfinite(sounds).all(axis=1, keepdims=True), sounds, np.float32(0))
        embeddings = self.model.embed(to_mels(finite, self.spec))
        predicted = self.model.head(embeddings).argmax(dim=1)
        return Verdicts(predicted=predicted.numpy(), embeddings=embeddings.double().numpy())


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
        "sounds": fingerprint(rows),
        "labels": list(labels),
        "mel": dataclasses.asdict(store.spec),
        "config": dataclasses.asdict(config),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"classifier-{name}.safetensors"
    if path.is_file():
        logger.info("classifier from %s", path)
        tensors = load_file(path)
        taught = tensors.pop("taught")
        model = AudioClassifier(config, len(labels))
        model.load_state_dict(tensors)
        return Judge(model, labels, store.spec, taught)
    judge = train_judge(rows, labels, store, config)
    _save(judge, path)
    return judge


def _save(judge: Judge, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({**judge.model.state_dict(), "taught": judge.taught}, partial)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --cache") from error
    finally:
        partial.unlink(missing_ok=True)


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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = AudioClassifier(config, len(labels))
        _fit(model, mels, numbers, config)
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


def _fit(model: AudioClassifier, mels: Tensor, numbers: Tensor, config: ClassifierConfig) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.lr, total_steps=config.steps, pct_start=0.2
    )
    generator = torch.Generator().manual_seed(config.seed)
    n_labels = model.head.out_features
    weights = 1 / torch.bincount(numbers, minlength=n_labels)[numbers]
    one_hot = F.one_hot(numbers, n_labels).float()
    model.train()
    bar = tqdm(range(config.steps), desc="training the classifier", unit="step")
    for step in bar:
        picks = torch.multinomial(weights, config.batch_size, replacement=True, generator=generator)
        varied = augment(mels[picks].float(), config.augment, generator)
        batch, targets = mix(varied, one_hot[picks], config.augment, generator)
        loss = F.cross_entropy(model(batch), targets, label_smoothing=config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()
