"""Pictures for training: decoded once, augmented anew at every step."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.io.image import read_image, resize
from echoes_training.device import to_device

Pixels = NDArray[np.uint8]

SHORT_SIDE = 1.25
"""Pictures are kept in memory with a short side of this many times the model's: room to crop."""


def resized(pixels: Pixels, x: int, y: int, width: int, height: int, spec: ImageSpec) -> Pixels:
    """A crop at the spec's size."""
    crop = np.ascontiguousarray(pixels[y : y + height, x : x + width])
    shrinks = width >= spec.width and height >= spec.height
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (spec.width, spec.height)
    return np.asarray(cv2.resize(crop, size, interpolation=interpolation), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A part of a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int
    is_mirrored: bool

    def of(self, pixels: Pixels, spec: ImageSpec) -> Pixels:
        """At the spec's size."""
        part = resized(pixels, self.x, self.y, self.width, self.height, spec)
        return part[:, ::-1] if self.is_mirrored else part


def draw_crop(height: int, width: int, rng: np.random.Generator) -> Crop:
    """A random crop of 35 to 100 % of the area, aspect 3:4 to 4:3, mirrored half of the time.

    The ranges are those of the Inception recipe (arXiv 1409.4842), with a milder smallest area: the
    thing itself must stay in the picture.
    """
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    area = rng.uniform(0.35, 1.0) * height * width
    crop_w = int(np.clip(round(np.sqrt(area * aspect)), 1, width))
    crop_h = int(np.clip(round(np.sqrt(area / aspect)), 1, height))
    return Crop(
        x=int(rng.integers(width - crop_w + 1)),
        y=int(rng.integers(height - crop_h + 1)),
        width=crop_w,
        height=crop_h,
        is_mirrored=bool(rng.random() < 0.5),
    )


@dataclass(frozen=True, kw_only=True)
class View(Crop):
    """A part of a picture, and what becomes of its colours."""

    gain: tuple[float, float, float]
    bias: float

    @classmethod
    def draw(cls, height: int, width: int, rng: np.random.Generator) -> "View":
        drawn = draw_crop(height, width, rng)
        red, green, blue = rng.uniform(0.8, 1.2, size=3) * rng.uniform(0.9, 1.1)
        return cls(**vars(drawn), gain=(red, green, blue), bias=rng.uniform(-15, 15))


class ImageStore:
    """Decodes pictures on first use and keeps them, reduced, in memory."""

    def __init__(self, spec: ImageSpec) -> None:
        self.spec = spec
        self._kept: dict[str, Pixels] = {}

    def get(self, path: str) -> Pixels:
        """(H, W, 3) RGB, read as the runtime reads it.

        Raises:
            InputError: if the picture cannot be read; ``prepare`` lists only those that can.
        """
        if path not in self._kept:
            try:
                pixels = read_image(path)
            except InputError as error:
                raise InputError(
                    f"cannot read the picture {path}; run echoes-train prepare again"
                ) from error
            side = SHORT_SIDE * min(self.spec.height, self.spec.width)
            scale = min(1.0, side / min(pixels.shape[:2]))
            if scale < 1.0:
                small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                pixels = np.asarray(small, dtype=np.uint8)
            self._kept[path] = pixels
        return self._kept[path]

    def centred(self, path: str) -> Pixels:
        """The crop that the runtime would make."""
        return resize(self.get(path), self.spec)

    def augmented(self, path: str, rng: np.random.Generator) -> Pixels:
        """The view that ``View.draw`` describes."""
        pixels = self.get(path)
        drawn = View.draw(pixels.shape[0], pixels.shape[1], rng)
        view = drawn.of(pixels, self.spec).astype(np.float32)
        bright = view * np.asarray(drawn.gain, np.float32) + np.float32(drawn.bias)
        return np.asarray(np.clip(bright, 0, 255), dtype=np.uint8)


def to_batch(pictures: list[Pixels], spec: ImageSpec) -> Tensor:
    """(H, W, 3) pictures to a normalised (B, 3, H, W)."""
    return normalised(torch.from_numpy(np.stack(pictures)), spec)


def normalised(levels: Tensor, spec: ImageSpec) -> Tensor:
    """(B, H, W, 3) in [0, 255], on any device, to (B, 3, H, W) as the models read them."""
    mean, std = (to_device(torch.tensor(x), levels.device) for x in (spec.mean, spec.std))
    return ((levels.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def to_pixels(batch: Tensor, spec: ImageSpec) -> list[Pixels]:
    """The inverse of ``to_batch``."""
    mean = torch.tensor(spec.mean).view(1, 3, 1, 1)
    std = torch.tensor(spec.std).view(1, 3, 1, 1)
    unit = (batch.detach().float().cpu() * std + mean).clamp(0, 1)
    return list((unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def write_sheet(path: Path, rows: list[list[Pixels]]) -> None:
    """Writes a grid of equally large pictures."""
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(sheet[:, :, ::-1]))
