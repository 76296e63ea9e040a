"""The judges: small residual networks, trained on the training split alone, and kept."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec
from echoes_rt.io.image import RgbArray, resize
from echoes_rt.io.output_file import written
from echoes_training.data.audio import AudioStore, Samples
from echoes_training.data.image import ImageStore, Pixels, to_batch
from echoes_training.data.index import Clip
from echoes_training.evaluate.augment import AugmentConfig, augment, mix
from echoes_training.evaluate.media import fingerprint
from echoes_training.models.mel import MelSpectrogram

logger = logging.getLogger(__name__)

Draw = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(B,) numbers of examples to varied inputs and their targets, as cross-entropy takes them."""

Learn = Callable[["Classifier", Tensor], None]
"""Trains a model on media of (N,) label numbers."""

MIN_RMS = 1e-4
"""-80 dBFS, below which a clip counts as nothing and is not made louder."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How a judge is built and trained: AdamW at one cycle of learning rates.

    Together with the media it names the kept file.

    Attributes:
        width: of the first stage; each one doubles it.
        embedding_dim: of what the last layer reads.
    """

    width: int = 24
    embedding_dim: int = 64
    dropout: float = 0.2
    steps: int = 400
    batch_size: int = 36
    lr: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Of N inputs: (N,) predicted label numbers and (N, D) embeddings."""

    predicted: NDArray[np.int64]
    embeddings: NDArray[np.float64]


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

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


class Classifier(nn.Module):
    """(B, C, H, W) to (B, n_labels) logits, any H and W; each stage but the first halves them.

    ``taught`` are the (n_taught, D) embeddings of what it learned from, in order, if they are kept.
    """

    taught: Tensor

    def __init__(
        self, config: JudgeConfig, *, channels: int, stages: int, n_labels: int, n_taught: int = 0
    ) -> None:
        super().__init__()
        if n_taught:
            self.register_buffer("taught", torch.zeros(n_taught, config.embedding_dim))
        widths = [config.width * 2**stage for stage in range(stages)]
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.body = nn.Sequential(
            nn.Conv2d(channels, widths[0], 7, 4, 3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *(_Residual(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(pairs)),
        )
        self.project = nn.Linear(2 * widths[-1], config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.embedding_dim, n_labels)

    def embed(self, inputs: Tensor) -> Tensor:
        """(B, embedding_dim), what the last layer reads."""
        features = self.body(inputs)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return F.relu(self.project(pooled))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(inputs)))

    @torch.no_grad()
    def verdicts(self, inputs: Tensor) -> Verdicts:
        embeddings = self.embed(inputs)
        predicted = self.head(embeddings).argmax(dim=1)
        return Verdicts(predicted=predicted.numpy(), embeddings=embeddings.double().numpy())


def kept(
    cache: Path,
    kind: str,
    facts: Mapping[str, object],
    rows: Sequence[Clip],
    labels: Sequence[str],
    config: JudgeConfig,
    make: Callable[[], Classifier],
    learn: Learn,
) -> Classifier:
    """What ``learn`` makes of a new model, from ``cache`` if it is there.

    Args:
        cache: the folder.
        kind: of the judge.
        facts: of the media that it is made from.
        rows: with these media, each with one of the ``labels``.
        labels: that it tells apart.
        config: its settings.
        make: gives an untrained one.
        learn: trains it.

    Raises:
        ValueError: if a row is held out.
    """
    if leaked := [clip for clip in rows if clip.split != "train"]:
        raise ValueError(f"held-out media must never train a judge, got {leaked[0]}")
    key = {**facts, "labels": list(labels), "config": asdict(config)}
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"{kind}-{name}.safetensors"
    if path.is_file():
        logger.info("classifier from %s", path)
        model = make()
        model.load_state_dict(load_file(path))
        return model.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = make()
        learn(model, torch.tensor([labels.index(clip.label or "") for clip in rows]))
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with written(path) as partial:
        save_file(tensors, partial)
    return model


def fit(model: Classifier, numbers: Tensor, draw: Draw, config: JudgeConfig) -> None:
    """Trains on examples of (N,) label numbers; every label is seen equally often."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.lr, total_steps=config.steps, pct_start=0.2
    )
    generator = torch.Generator().manual_seed(config.seed)
    weights = 1 / torch.bincount(numbers, minlength=model.head.out_features)[numbers]
    model.train()
    bar = tqdm(range(config.steps), desc="training the classifier", unit="step")
    for step in bar:
        picks = torch.multinomial(weights, config.batch_size, replacement=True, generator=generator)
        inputs, targets = draw(picks, generator)
        loss = F.cross_entropy(model(inputs), targets, label_smoothing=config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(JudgeConfig):
    """Of the judge of sounds."""

    augment: AugmentConfig = field(default_factory=AugmentConfig)


class Judge:
    """A trained classifier with the mel that it reads."""

    def __init__(self, model: Classifier, spec: MelSpec) -> None:
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

    def make() -> Classifier:
        n_labels, n_taught = len(labels), len(rows)
        return Classifier(config, channels=1, stages=3, n_labels=n_labels, n_taught=n_taught)

    def learn(model: Classifier, numbers: Tensor) -> None:
        # Half precision is finer than the variation added to it.
        read = tqdm(rows, desc="reading sounds", unit="clip")
        clips = (store.get(clip.audio or "", clip.start)[None] for clip in read)
        mels = torch.cat([to_mels(clip, store.spec).half() for clip in clips])
        one_hot = F.one_hot(numbers, len(labels)).float()

        def draw(picks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            varied = augment(mels[picks].float(), config.augment, generator)
            blended, targets = mix(varied, one_hot[picks], config.augment, generator)
            return blended[:, None], targets

        fit(model, numbers, draw, config)
        with torch.no_grad():
            parts = [model.embed(part[:, None].float()) for part in mels.split(32)]
        model.taught.copy_(torch.cat(parts))

    facts = {"sounds": fingerprint(rows, "audio"), "mel": asdict(store.spec)}
    model = kept(cache, "classifier", facts, rows, labels, config, make, learn)
    return Judge(model, store.spec)


@dataclass(frozen=True, kw_only=True)
class PictureClassifierConfig(JudgeConfig):
    """Of the judge of pictures.

    Attributes:
        short_side: pixels, to which pictures are reduced.
        blurred: share of the pictures that are blurred, by ``coarsest`` at most.
        coarsest: pixels that the shorter side of a blurred picture is reduced to and enlarged from.
        noise: largest standard deviation of the noise, of 255.
    """

    short_side: int = 96
    width: int = 32
    dropout: float = 0.3
    steps: int = 1200
    batch_size: int = 32
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    blurred: float = 0.5
    coarsest: int = 32
    noise: float = 8.0


class PictureJudge:
    """A trained classifier with the size of the pictures that it looks at."""

    def __init__(self, model: Classifier, spec: ImageSpec) -> None:
        self.model = model
        self.spec = spec

    def judge(self, pictures: RgbArray) -> Verdicts:
        """Of (N, H, W, 3) pictures of any size."""
        small = [resize(picture, self.spec) for picture in pictures]
        return self.model.verdicts(to_batch(small, self.spec).contiguous())


def judge_spec(spec: ImageSpec, config: PictureClassifierConfig) -> ImageSpec:
    """The bundle's aspect ratio at the judge's size, or at the bundle's if that is smaller."""
    scale = min(1.0, config.short_side / min(spec.height, spec.width))
    return ImageSpec(height=round(spec.height * scale), width=round(spec.width * scale))


def cached_picture_judge(
    cache: Path,
    rows: Sequence[Clip],
    labels: Sequence[str],
    bundle_spec: ImageSpec,
    config: PictureClassifierConfig,
) -> PictureJudge:
    """As ``cached_judge``, for pictures of the bundle's size."""
    spec = judge_spec(bundle_spec, config)

    def make() -> Classifier:
        return Classifier(config, channels=3, stages=4, n_labels=len(labels))

    def learn(model: Classifier, numbers: Tensor) -> None:
        store = ImageStore(spec)
        rng = np.random.default_rng(config.seed)

        def draw(picks: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
            pictures = [
                _coarsened(store.augmented(rows[pick].image or "", rng), rng, config)
                for pick in picks.tolist()
            ]
            return to_batch(pictures, spec).contiguous(), numbers[picks]

        fit(model, numbers, draw, config)

    facts = {"pictures": fingerprint(rows, "image"), "image": asdict(spec)}
    model = kept(cache, "picture-classifier", facts, rows, labels, config, make, learn)
    return PictureJudge(model, spec)


def _coarsened(
    picture: Pixels, rng: np.random.Generator, config: PictureClassifierConfig
) -> Pixels:
    """Blurred and noisy now and then: a thing is to be known by more than its finest detail."""
    height, width = picture.shape[:2]
    if rng.random() < config.blurred:
        coarsest = min(1.0, config.coarsest / min(height, width))
        scale = rng.uniform(coarsest, 1.0)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (width, height)), dtype=np.uint8)
    noise = rng.uniform(0, config.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.asarray(np.clip(picture + noise, 0, 255), dtype=np.uint8)
