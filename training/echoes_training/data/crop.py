"""The part of a picture that the model sees."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from echoes_rt.format.image import ImageSpec

Pixels = NDArray[np.uint8]


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
