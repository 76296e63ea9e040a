"""Graphs run by ONNX Runtime."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around, Arrays
from echoes_rt.backends.coverage import assigned_operators, check_coverage
from echoes_rt.backends.device import Device, parse_device
from echoes_rt.backends.lifetime import run_watched
from echoes_rt.backends.outputs import Named, checked_outputs
from echoes_rt.backends.provider import PROVIDERS
from echoes_rt.backends.session_start import (
    SessionDials,
    first_line,
    import_onnxruntime,
    start_session,
)
from echoes_rt.backends.worker import Worker
from echoes_rt.errors import BackendError, BundleError
from echoes_rt.format.graphs import GraphSpec, Tensors, TensorSpec

_DTYPES = {
    "float16": "float16",
    "float": "float32",
    "double": "float64",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "bool": "bool",
}


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
            BundleError: if it takes or gives what is no tensor of numbers.
        """
        # Elsewhere a session serves many threads at once.
        self._worker = Worker(path.name) if parse_device(device).kind == "cuda" else None
        self._session = open_graph(path, device, dials or SessionDials())
        self._path = path
        self._device = device
        self._outputs = tensors_of(path.name, self._session.get_outputs())
        self.inputs = tensors_of(path.name, self._session.get_inputs())
        self.launches = count_on(parse_device(device), self._session)
        self.around: Around = nullcontext
        self.unrecorded: str | None = None

    @property
    def device(self) -> str:
        return self._device

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        options = import_onnxruntime().RunOptions()
        asked = ([*self._outputs], dict(inputs), options)

        def compute() -> list[Any]:
            with self.around():
                return list(run_watched(lambda: self._session.run(*asked), options))

        try:
            outputs = compute() if self._worker is None else self._worker.run(compute)
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise BackendError(
                f"{self._path.name} failed on {self._device}: {first_line(error)}"
            ) from error
        signature = GraphSpec(inputs=self.inputs, outputs=self._outputs)
        return checked_outputs(self._path.name, signature, inputs, outputs)

    def run_steps(
        self,
        tokens: NDArray[np.int32],
        context: NDArray[Any],
        steps: Sequence[Arrays],
        after: Callable[[int], None],
    ) -> NDArray[np.int32]:
        """Of a graph ``decode_*_step``: its tokens come back to the host after every step."""
        for number, inputs in enumerate(steps):
            tokens = self.run({"tokens": tokens, "context": context, **inputs})["decoded"]
            after(number)
        return tokens

    def end_profile(self) -> Path:
        """The file that tells of every node."""
        return Path(self._session.end_profiling())


def count_on(device: Device, session: Any) -> int:
    """How many nodes of a session a device other than the CPU runs; 0 where nobody tells."""
    if device.kind == "cpu":
        return 0
    operators = assigned_operators(session) or {}
    return operators.get(PROVIDERS[device.kind].name, Counter()).total()


def tensors_of(graph: str, described: Iterable[Any]) -> Tensors:
    """What a graph says of its inputs or outputs, which ONNX Runtime's session describes.

    Raises:
        BundleError: if one is of a type that no graph of a bundle has, or a name is no text.
    """
    tensors: Named[TensorSpec] = Named(graph, {})
    for tensor in described:
        try:
            name, kind, dims = tensor.name, tensor.type, tensor.shape
        except UnicodeDecodeError as error:
            raise BundleError(
                f"{graph} has names that are no text; get the bundle again"
            ) from error
        dtype = _DTYPES.get(kind.removeprefix("tensor(").removesuffix(")"))
        if dtype is None:
            raise BundleError(
                f"{graph} has {name} of the type {kind}, which must be a tensor of "
                f"{', '.join(_DTYPES)}; get the bundle again"
            )
        shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in dims)
        tensors[name] = TensorSpec(dtype=dtype, shape=shape)
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
