"""The part of a picture that the model sees."""

import cv2
import numpy as np
from numpy.typing import NDArray

from echoes_rt.format.image import ImageSpec

Pixels = NDArray[np.uint8]


def centred(pixels: Pixels, spec: ImageSpec) -> Pixels:
    """(H, W, 3) to the spec's size: the crop that the runtime makes, the largest centred one."""
    height, width = pixels.shape[:2]
    ratio = spec.width / spec.height
    crop_w, crop_h = min(width, round(height * ratio)), min(height, round(width / ratio))
    return resized(
        pixels, (width - crop_w) // 2, (height - crop_h) // 2, max(1, crop_w), max(1, crop_h), spec
    )


def resized(pixels: Pixels, x: int, y: int, width: int, height: int, spec: ImageSpec) -> Pixels:
    """A crop at the spec's size."""
    crop = np.ascontiguousarray(pixels[y : y + height, x : x + width])
    shrinks = width >= spec.width and height >= spec.height
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (spec.width, spec.height)
    return np.asarray(cv2.resize(crop, size, interpolation=interpolation), dtype=np.uint8)
