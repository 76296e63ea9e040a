"""Media that are decoded once and then lie on a GPU (``--set data.resident=True``)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.errors import InputError

K = TypeVar("K")
V = TypeVar("V")


def loaded(load: Callable[[K], V], keys: Sequence[K]) -> list[V]:
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
