"""The judge of pictures."""

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
from echoes_training.evaluate.judge import Classifier, JudgeConfig, Verdicts, fit, kept, numbers_of
from echoes_training.evaluate.media import fingerprint


@dataclass(frozen=True, kw_only=True)
class PictureClassifierConfig(JudgeConfig):
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


class PictureJudge:
    """A trained classifier with the size of the pictures that it looks at."""

    def __init__(self, model: Classifier, spec: ImageSpec) -> None:
        self.model = model
        self.spec = spec

    def judge(self, pictures: RgbArray) -> Verdicts:
        """Of (N, H, W, 3) pictures of any size."""
        small = [resize(picture, self.spec) for picture in pictures]
        return self.model.verdicts(_to_inputs(small, self.spec))


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
    """Trains the judge on ``rows``, or takes it from ``cache`` if the same was trained before.

    Raises:
        ValueError: if a row is held out.
    """
    spec = judge_spec(bundle_spec, config)
    numbers = numbers_of(rows, labels)
    key = {
        "pictures": fingerprint(rows, "image"),
        "labels": list(labels),
        "image": dataclasses.asdict(spec),
        "config": dataclasses.asdict(config),
    }

    def make() -> Classifier:
        return Classifier(config, channels=3, stages=4, n_labels=len(labels))

    def learn(model: Classifier) -> None:
        store = ImageStore(spec)
        rng = np.random.default_rng(config.seed)

        def draw(picks: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
            pictures = [
                _coarsened(store.augmented(rows[pick].image or "", rng), rng, config)
                for pick in picks.tolist()
            ]
            return _to_inputs(pictures, spec), numbers[picks]

        fit(model, numbers, draw, config)

    return PictureJudge(kept(cache, "picture-classifier", key, config.seed, make, learn), spec)


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
