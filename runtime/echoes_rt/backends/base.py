"""What every backend gives: a loaded graph that can be run."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from numpy.typing import NDArray

Around = Callable[[], AbstractContextManager[Any]]
"""Who profiles sets it on a session; each call then runs inside of what it gives."""


class Session(Protocol):
    """A loaded graph; ``run`` may be called by several threads at once."""

    @property
    def device(self) -> str:
        """Such as ``cpu`` or ``cuda:0``."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Takes the graph's inputs by name and gives its outputs by name."""
