"""Views of every training picture on disk, with what a frozen network sees in them."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from echoes_rt.format.image import ImageSpec
from echoes_training.data import image as image_data
from echoes_training.data.image import ImageStore
from echoes_training.data.resident import placed
from echoes_training.data.views import view
from echoes_training.device import to_device

logger = logging.getLogger(__name__)

Maps = tuple[Tensor, ...]

BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Seen:
    """x (B, 3, H, W) normalised, maps (B, C, h, w), and the last map of the centred crops."""

    x: Tensor
    maps: Maps
    whole: Tensor


class ViewCache:
    """Row after row: of each picture its centred crop, then ``n_views`` random views.

    The teacher's maps are a hundred times dearer than a step of what is trained on them, and do
    not change; they are kept as float16.
    """

    def __init__(
        self, folder: Path, spec: ImageSpec, device: torch.device, *, is_resident: bool
    ) -> None:
        """Gives what lies in ``folder`` on the device, or keeps it there from the beginning."""
        self.spec, self.device = spec, device
        facts = json.loads((folder / "views.json").read_text(encoding="utf-8"))
        self.views_each = 1 + int(facts["n_views"])
        files = [folder / "pixels.npy", *sorted(folder.glob("map*.npy"))]
        arrays = [np.load(file, mmap_mode="r") for file in files]
        self._kept = [placed(np.array(a), device) for a in arrays] if is_resident else []
        self._arrays = arrays

    def __len__(self) -> int:
        return len(self._arrays[0])

    def centred(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of the centred crops of the same pictures."""
        return rows - rows % self.views_each

    def pictures(self, rows: NDArray[np.int64]) -> Tensor:
        """(B, 3, H, W), normalised."""
        return image_data.normalised(self._of(0, rows), self.spec)

    def seen(self, rows: NDArray[np.int64]) -> Seen:
        """The pictures, and what the network sees in them."""
        whole = self.last_map(self.centred(rows))
        return Seen(x=self.pictures(rows), maps=self.maps(rows), whole=whole)

    def maps(self, rows: NDArray[np.int64]) -> Maps:
        """Of each level (B, C, h, w)."""
        return tuple(self._of(i, rows).float() for i in range(1, len(self._arrays)))

    def last_map(self, rows: NDArray[np.int64]) -> Tensor:
        return self._of(-1, rows).float()

    def _of(self, number: int, rows: NDArray[np.int64]) -> Tensor:
        if self._kept:
            return self._kept[number][to_device(torch.from_numpy(rows), self.device)]
        return to_device(torch.from_numpy(self._arrays[number][rows]), self.device)


@torch.no_grad()
def make_views(
    folder: Path,
    paths: Sequence[str],
    store: ImageStore,
    teacher: Callable[[Tensor], Maps],
    *,
    n_views: int,
    seed: int,
    device: torch.device,
) -> None:
    """Fills ``folder``, which appears whole or not at all; what is there and fits is kept."""
    facts = {
        "n_views": n_views,
        "seed": seed,
        "size": [store.spec.height, store.spec.width],
        "pictures": hashlib.sha256("\n".join(paths).encode()).hexdigest(),
    }
    made = folder / "views.json"
    if made.is_file() and json.loads(made.read_text(encoding="utf-8")) == facts:
        return
    partial = folder.with_name(f"{folder.name}.partial")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    n_rows = len(paths) * (1 + n_views)
    logger.info("making %d views of %d pictures", n_rows, len(paths))
    files: dict[str, NDArray[Any]] = {}

    def put(name: str, at: int, values: NDArray[Any]) -> None:
        if name not in files:
            files[name] = np.lib.format.open_memmap(
                partial / f"{name}.npy", "w+", values.dtype, (n_rows, *values.shape[1:])
            )
        files[name][at : at + len(values)] = values

    def pixels(row: int) -> NDArray[np.uint8]:
        picture, number = divmod(row, 1 + n_views)
        if number == 0:
            return store.centred(paths[picture])
        rng = np.random.default_rng((seed, picture, number))
        background = paths[int(rng.integers(len(paths)))]
        return view(store.get(paths[picture]), store.get(background), store.spec, rng)

    for at in tqdm(range(0, n_rows, BATCH), mininterval=5, unit="batch"):
        seen = [pixels(row) for row in range(at, min(at + BATCH, n_rows))]
        put("pixels", at, np.stack(seen))
        x = image_data.to_batch(seen, store.spec)
        x = x.to(device, memory_format=torch.channels_last)
        for level, values in enumerate(teacher(x)):
            put(f"map{level}", at, values.half().cpu().numpy())
    for file in files.values():
        file.flush()  # type: ignore[attr-defined]  # they are memory maps
    (partial / "views.json").write_text(json.dumps(facts), encoding="utf-8")
    partial.rename(folder)
