"""Views of a picture as strangers would take it: cropped, badly lit, cluttered, grey, drawn."""

import cv2
import numpy as np

from echoes_rt.format.image import ImageSpec
from echoes_training.data.image import Pixels, draw_crop


def view(pixels: Pixels, background: Pixels, spec: ImageSpec, rng: np.random.Generator) -> Pixels:
    """A random view (H, W, 3) of ``pixels`` (h, w, 3); some are pasted onto ``background``."""
    seen = _turned(pixels, rng) if rng.random() < 0.25 else pixels
    seen = _cropped(seen, spec, rng)
    if rng.random() < 0.25:
        seen = _pasted(seen, _cropped(background, spec, rng), rng)
    kind = rng.random()
    if kind < 0.08:
        seen = _pencil(seen, rng)
    elif kind < 0.14:
        seen = _painted(seen, rng)
    elif kind < 0.22:
        seen = np.repeat(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    return _degraded(_lit(seen, rng), rng)


def _cropped(pixels: Pixels, spec: ImageSpec, rng: np.random.Generator) -> Pixels:
    return np.ascontiguousarray(draw_crop(pixels.shape[0], pixels.shape[1], rng).of(pixels, spec))


def _turned(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Turned by up to 20 degrees; the corners continue the border."""
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-20, 20), 1.0)
    turned = cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, np.uint8)


def _pasted(seen: Pixels, background: Pixels, rng: np.random.Generator) -> Pixels:
    """The view at 45 to 85 % of its size, somewhere on another picture, with soft edges."""
    height, width = seen.shape[:2]
    scale = rng.uniform(0.45, 0.85)
    h, w = round(height * scale), round(width * scale)
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    small = cv2.resize(seen, (w, h), interpolation=cv2.INTER_AREA)
    alpha = np.zeros((height, width), np.float32)
    alpha[y : y + h, x : x + w] = 1
    share = np.asarray(cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.3, 4.0)))[:, :, None]
    top = background.copy()
    top[y : y + h, x : x + w] = small
    return np.asarray(share * top + (1 - share) * background, np.uint8)


def _pencil(seen: Pixels, rng: np.random.Generator) -> Pixels:
    """Dark lines on bright paper, or the reverse: a picture divided by its blurred self."""
    grey = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY).astype(np.float32) + 1
    lines = np.clip(grey / cv2.GaussianBlur(grey, (0, 0), rng.uniform(1.5, 5.0)), 0, 1)
    lines = lines ** rng.uniform(1.5, 5.0)
    paper, ink = rng.uniform(180, 255, 3), rng.uniform(0, 90, 3)
    if rng.random() < 0.2:
        paper, ink = ink, paper
    return np.asarray(ink + lines[:, :, None] * (paper - ink), np.uint8)


def _painted(seen: Pixels, rng: np.random.Generator) -> Pixels:
    """Flat colours within dark outlines."""
    flat = seen
    for _ in range(2):
        flat = np.asarray(cv2.bilateralFilter(flat, 5, 60, 5), np.uint8)
    levels = int(rng.integers(4, 9))
    flat = np.asarray(np.round(flat / 255 * levels) / levels * 255, np.uint8)
    grey = cv2.medianBlur(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), 3)
    edges = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 7, 6)
    return np.where(edges[:, :, None] == 0, flat // 4, flat)


def _lit(seen: Pixels, rng: np.random.Generator) -> Pixels:
    """Other exposure, contrast, saturation and colour of the light."""
    light = seen.astype(np.float32) / 255
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * rng.uniform(0.5, 1.5)
    light = 0.5 + (light - 0.5) * rng.uniform(0.7, 1.3) + rng.uniform(-0.1, 0.1)
    light = np.clip(light * rng.uniform(0.85, 1.15, 3), 0, 1) ** np.exp(rng.uniform(-0.4, 0.4))
    return np.asarray(255 * np.clip(light, 0, 1), np.uint8)


def _degraded(seen: Pixels, rng: np.random.Generator) -> Pixels:
    """Blur, noise or compression, in some."""
    kind = rng.random()
    if kind < 0.1:
        return np.asarray(cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.5, 1.6)), np.uint8)
    if kind < 0.2:
        noise = rng.normal(0, rng.uniform(3, 16), seen.shape)
        return np.asarray(np.clip(seen + noise, 0, 255), np.uint8)
    if kind < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))]
        _, data = cv2.imencode(".jpg", seen, quality)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return seen
