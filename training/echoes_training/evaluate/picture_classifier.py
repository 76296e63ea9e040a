"""The judge of pictures: a small classifier, trained on the training split alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from echoes_rt.format.image import ImageSpec
from echoes_rt.io.image import RgbArray, resize
from echoes_training.data.image import ImageStore, Pixels, to_batch
from echoes_training.data.index import Clip
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


@dataclass(frozen=True, kw_only=True)
class PictureClassifierConfig(FitConfig):
    """How the judge is built and trained; together with the pictures it names the kept file.

    Attributes:
        short_side: pixels, to which pictures are reduced.
        blurred: share of the pictures that are blurred, by ``coarsest`` at most.
        coarsest: pixels that the shorter side of a blurred picture is reduced to and enlarged from.
        noise: largest standard deviation of the noise, of 255.
    """

    short_side: int = 96
    width: int = 32
    embedding_dim: int = 64
    dropout: float = 0.3
    steps: int = 1200
    batch_size: int = 32
    lr: float = 4e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    blurred: float = 0.5
    coarsest: int = 32
    noise: float = 8.0


class PictureClassifier(SmallResNet):
    """(B, 3, H, W) pictures in [-1, 1] to (B, n_labels) logits."""

    def __init__(self, config: PictureClassifierConfig, n_labels: int) -> None:
        super().__init__(
            channels=3,
            stem=(7, 4),
            widths=[config.width * 2**stage for stage in range(4)],
            embedding_dim=config.embedding_dim,
            dropout=config.dropout,
            n_labels=n_labels,
        )


class PictureJudge:
    """A trained classifier with its labels and the size of the pictures that it looks at."""

    def __init__(self, model: PictureClassifier, labels: Sequence[str], spec: ImageSpec) -> None:
        self.model = model.eval()
        self.labels = tuple(labels)
        self.spec = spec

    def judge(self, pictures: RgbArray) -> Verdicts:
        """Of (N, H, W, 3) pictures of any size."""
        small = [resize(picture, self.spec) for picture in pictures]
        return verdicts_of(self.model, _to_inputs(small, self.spec))


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
    """Trains the judge on ``rows``, or takes it from ``cache`` if the same was trained before."""
    spec = judge_spec(bundle_spec, config)
    key = {
        "pictures": fingerprint(rows, "image"),
        "labels": list(labels),
        "image": dataclasses.asdict(spec),
        "config": dataclasses.asdict(config),
    }
    path = kept_path(cache, "picture-classifier", key)
    if (tensors := load_kept(path)) is not None:
        model = PictureClassifier(config, len(labels))
        model.load_state_dict(tensors)
        return PictureJudge(model, labels, spec)
    judge = train_picture_judge(rows, labels, spec, config)
    save_kept(judge.model.state_dict(), path)
    return judge


def train_picture_judge(
    rows: Sequence[Clip], labels: Sequence[str], spec: ImageSpec, config: PictureClassifierConfig
) -> PictureJudge:
    """Trains on pictures of the training split; every label is seen equally often.

    Raises:
        ValueError: if a row is held out.
    """
    if leaked := [clip.image for clip in rows if clip.split != "train"]:
        raise ValueError(f"held-out pictures must never train the judge, got {leaked[0]}")
    store = ImageStore(spec)
    numbers = torch.tensor([labels.index(clip.label or "") for clip in rows])
    rng = np.random.default_rng(config.seed)

    def draw(picks: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
        pictures = [
            _coarsened(store.augmented(rows[pick].image or "", rng), rng, config)
            for pick in picks.tolist()
        ]
        return _to_inputs(pictures, spec), numbers[picks]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = PictureClassifier(config, len(labels))
        fit(model, numbers, draw, config)
    return PictureJudge(model, labels, spec)


def _to_inputs(pictures: list[Pixels], spec: ImageSpec) -> Tensor:
    return to_batch(pictures, spec).contiguous()


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
