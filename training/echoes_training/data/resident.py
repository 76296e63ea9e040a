"""Media that lie on a GPU and are augmented there (``--set data.resident=True``).

All of a batch at once; each is decoded once.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_training.data.audio import AudioStore, Variation, events_first, varied
from echoes_training.data.audio import SoundView as SoundView
from echoes_training.data.image import ImageStore, View, normalised
from echoes_training.data.index import Clip
from echoes_training.device import to_device

K = TypeVar("K")
V = TypeVar("V")


class ResidentPictures:
    """The pictures of an ``ImageStore``, row after row of pixels; views are the store's own."""

    def __init__(self, store: ImageStore, paths: Sequence[str], device: torch.device) -> None:
        self.spec = store.spec
        self.device = device
        names = list(dict.fromkeys(paths))
        pictures = _loaded(store.get, names)
        sizes = [picture.shape[0] * picture.shape[1] for picture in pictures]
        self._start = dict(zip(names, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._shape = {
            name: (p.shape[0], p.shape[1]) for name, p in zip(names, pictures, strict=True)
        }
        self._pixels = placed(np.concatenate([p.reshape(-1, 3) for p in pictures]), device)

    def augmented(self, paths: Sequence[str], generators: Sequence[np.random.Generator]) -> Tensor:
        """(B, 3, H, W), normalised: of each picture the view that its generator draws."""
        views, numbers = [], []
        for path, rng in zip(paths, generators, strict=True):
            height, stride = self._shape[path]
            view = View.draw(height, stride, rng)
            first = self._start[path] + view.y * stride + view.x
            shrinks = view.height >= self.spec.height and view.width >= self.spec.width
            sizes = (view.height, view.width, shrinks, view.is_mirrored)
            numbers.append((first, stride, *sizes, *view.gain, view.bias))
            views.append(view)
        table = to_device(torch.tensor(numbers, dtype=torch.float64), self.device)
        longest = (max(v.height for v in views), max(v.width for v in views))
        resized = self._resized(table, longest).round().clamp(0, 255)
        gain, bias = table[:, None, None, 6:9].float(), table[:, 9, None, None, None].float()
        return normalised((resized * gain + bias).clamp(0, 255).floor(), self.spec)

    def _resized(self, table: Tensor, longest: tuple[int, int]) -> Tensor:
        """(B, H, W, 3) in [0, 255]: the crops, mirrored or not."""
        first, stride, height, width, shrinks, is_mirrored = table[:, :6, None].unbind(dim=1)
        y, x = (torch.arange(n, device=self.device)[None] for n in longest)
        rows = first + y.minimum(height - 1) * stride
        places = rows[:, :, None] + x.minimum(width - 1)[:, None]
        pixels = self._pixels[places.long()].float()  # (B, h, w, 3)
        down = _resizing(height, shrinks > 0, self.spec.height, longest[0])
        across = _resizing(width, shrinks > 0, self.spec.width, longest[1])
        across = across.flip(1).where(is_mirrored[:, :, None] > 0, across)
        return torch.einsum("bvx,buxc->buvc", across, torch.einsum("buy,byxc->buxc", down, pixels))


def _resizing(size: Tensor, shrinks: Tensor, wanted: int, longest: int) -> Tensor:
    """(B, wanted, longest): ``crop.resized`` along a side of (B, 1) sizes, as matrices."""
    scale = (size / wanted)[:, :, None]
    out = torch.arange(wanted, device=size.device)[:, None]
    at = torch.arange(longest, device=size.device)
    covered = (at + 1).minimum((out + 1) * scale) - at.maximum(out * scale)
    centre = ((out + 0.5) * scale - 0.5).clamp(min=0).minimum(size[:, :, None] - 1)
    linear = 1 - (at - centre).abs()
    return (covered / scale).where(shrinks[:, :, None], linear).clamp(min=0).float()


class ResidentSounds:
    """Clips as one (M, S) int16 tensor, each from its first event on."""

    def __init__(self, store: AudioStore, clips: Sequence[Clip], device: torch.device) -> None:
        self.spec = store.spec
        self.device = device
        keys = list(dict.fromkeys((str(clip.audio), clip.start) for clip in clips))
        self._row = {key: row for row, key in enumerate(keys)}

        def load(key: tuple[str, float]) -> NDArray[np.int16]:
            samples = events_first(store.get(*key), self.spec.sample_rate)
            return np.round(samples * 32767).astype(np.int16)

        self._samples = placed(np.stack(_loaded(load, keys)), device)

    def varied(
        self, clips: Sequence[Clip], views: Sequence[SoundView], variation: Variation
    ) -> Tensor:
        """(B, S): each clip as its view says."""
        rows = torch.tensor([self._row[str(clip.audio), clip.start] for clip in clips])
        samples = self._samples[to_device(rows, self.device)].float() / 32767
        return varied(samples, views, variation, self.spec.sample_rate)


def _loaded(load: Callable[[K], V], keys: Sequence[K]) -> list[V]:
    """All of them, decoded in parallel."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(load, keys))


def placed(values: NDArray[Any], device: torch.device) -> Tensor:
    """Raises InputError if the device has no room for them."""
    try:
        return torch.from_numpy(values).to(device)
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"data.resident needs {values.nbytes / 1e9:.1f} GB on {device}, which it has not; "
            "leave it out"
        ) from error
