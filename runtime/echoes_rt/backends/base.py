"""What every backend gives: a loaded graph that can be run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.session_start import SessionDials
from echoes_rt.format.graphs import Tensors

Around = Callable[[], AbstractContextManager[Any]]
Arrays = Mapping[str, NDArray[Any]]


class Session(Protocol):
    """A loaded graph; ``run`` may be called by several threads at once."""

    @property
    def device(self) -> str:
        """Such as ``cpu`` or ``cuda:0``."""

    @property
    def inputs(self) -> Tensors:
        """As the graph has them."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Takes the graph's inputs by name and gives its outputs by name."""


class WatchedSession(Session, Protocol):
    """A loaded graph whose calls somebody may watch.

    Attributes:
        around: each call runs inside of what it gives.
        unrecorded: why a GPU gets them one by one although they should be recorded as one CUDA
            graph; None: all is well.
    """

    around: Around
    unrecorded: str | None

    @property
    def launches(self) -> int:
        """How many pieces of work a call gives a GPU."""


class Watcher(Protocol):
    """Sees every graph that a model loads, and by ``around`` every call of it."""

    def dials(self, graph: str, device: str, dials: SessionDials) -> SessionDials:
        """How ONNX Runtime's session of a graph is to be started."""

    def loaded(self, graph: str, session: WatchedSession) -> None:
        """Before the first call."""


class StepSession(Session, Protocol):
    """A loaded ``decode_*_step``."""

    def run_steps(
        self,
        tokens: NDArray[np.int32],
        context: NDArray[Any],
        steps: Sequence[Arrays],
        after: Callable[[int], None],
    ) -> NDArray[np.int32]:
        """(B, N) tokens after all steps.

        Args:
            tokens: (B, N) to begin with.
            context: what all steps share.
            steps: what each takes besides.
            after: called after each with its number from 0; may raise to end the decoding.
        """
