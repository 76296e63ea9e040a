"""Graphs run by ONNX Runtime."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around, Arrays, Session
from echoes_rt.backends.coverage import assigned_operators, check_coverage
from echoes_rt.backends.device import Device, parse_device
from echoes_rt.backends.provider import PROVIDERS
from echoes_rt.backends.session_start import (
    SessionDials,
    first_line,
    import_onnxruntime,
    start_session,
)
from echoes_rt.errors import BackendError
from echoes_rt.spec.graphs import Tensors, TensorSpec

_DTYPES = {"float": "float32", "double": "float64"}


class OnnxSession:
    """One graph; thread-safe, as ONNX Runtime's own sessions are."""

    def __init__(self, path: Path, device: str, dials: SessionDials | None = None) -> None:
        """Loads a graph.

        Args:
            path: the ONNX file.
            device: of those that ONNX Runtime runs, never ``auto``.
            dials: how the session is started.

        Raises:
            BackendError: if it does not load, the device cannot run it, or would leave its work to
                the CPU.
        """
        self._session = open_graph(path, device, dials or SessionDials())
        self._path = path
        self._device = device
        self._output_names = [tensor.name for tensor in self._session.get_outputs()]
        self.inputs = graph_inputs(self._session)
        self.launches = count_on(parse_device(device), self._session)
        self.around: Around = nullcontext

    @property
    def device(self) -> str:
        return self._device

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        try:
            with self.around():
                outputs = self._session.run(self._output_names, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise BackendError(
                f"{self._path.name} failed on {self._device}: {first_line(error)}"
            ) from error
        return {
            name: np.asarray(output)
            for name, output in zip(self._output_names, outputs, strict=True)
        }

    @contextmanager
    def begin(self, tokens: NDArray[np.int32], context: NDArray[Any]) -> Iterator["HostStepState"]:
        """Of a graph ``decode_*_step``: its tokens come back to the host after every step."""
        yield HostStepState(self, tokens, context)

    def end_profile(self) -> Path:
        """The file that tells of every node."""
        return Path(self._session.end_profiling())


class HostStepState:
    """A decoding in progress whose tokens are on the host."""

    def __init__(self, session: Session, tokens: NDArray[np.int32], context: NDArray[Any]) -> None:
        self._session = session
        self._tokens = tokens
        self._context = context

    def step(self, inputs: Arrays) -> None:
        outputs = self._session.run({"tokens": self._tokens, "context": self._context, **inputs})
        self._tokens = outputs["decoded"]

    def tokens(self) -> NDArray[np.int32]:
        return self._tokens


def count_on(device: Device, session: Any) -> int:
    """How many nodes of a session a device other than the CPU runs; 0 where nobody tells."""
    if device.kind == "cpu":
        return 0
    operators = assigned_operators(session) or {}
    return operators.get(PROVIDERS[device.kind].name, Counter()).total()


def graph_inputs(session: Any) -> Tensors:
    """What a graph takes, as it says itself."""
    tensors = {}
    for tensor in session.get_inputs():
        kind = tensor.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in tensor.shape)
        tensors[tensor.name] = TensorSpec(dtype=_DTYPES.get(kind, kind), shape=shape)
    return tensors


def open_graph(path: Path, device: str, dials: SessionDials) -> Any:
    """ONNX Runtime's session of a graph; raises as ``OnnxSession`` does."""
    version = import_onnxruntime().__version__
    parsed = parse_device(device)
    try:
        session = start_session(path, parsed, dials)
    except BackendError as error:
        raise BackendError(f"{path.name} cannot run on {device}: {error}") from error
    except Exception as error:  # ONNX Runtime's exceptions share no other parent
        raise BackendError(
            f"ONNX Runtime {version} cannot load {path}: {first_line(error)}"
        ) from error
    if parsed.kind != "cpu":
        if PROVIDERS[parsed.kind].name not in session.get_providers():
            raise BackendError(
                f"{path.name} does not run on {device} in ONNX Runtime {version}; "
                "echoes-rt doctor says why"
            )
        check_coverage(path.name, assigned_operators(session), device)
    return session
