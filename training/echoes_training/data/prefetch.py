"""Makes the samples of later steps while a GPU works on this one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

T = TypeVar("T")

AHEAD = 4
"""Steps whose samples are made at once, each in a thread: NumPy, OpenCV and PyTorch let go of the
interpreter where they compute."""


class Prefetch(Generic[T]):
    """``make`` of a step, called with its number; on a CPU, whose cores are busy, only then."""

    def __init__(self, make: Callable[[int], T], steps: int, device: torch.device) -> None:
        """Of a run of ``steps``; ``make`` must give the same in whichever order it is called."""
        self.make = make
        self.steps = steps
        self._threads = None if device.type == "cpu" else ThreadPoolExecutor(AHEAD)
        self._coming: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        if self._threads is None:
            return self.make(step)
        for later in range(step, min(step + AHEAD + 1, self.steps)):
            if later not in self._coming:
                self._coming[later] = self._threads.submit(self.make, later)
        return self._coming.pop(step).result()
