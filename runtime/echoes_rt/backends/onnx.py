"""Graphs run by ONNX Runtime."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around, Arrays
from echoes_rt.backends.device import Device, parse_device
from echoes_rt.backends.lifetime import run_watched
from echoes_rt.backends.provider import CPU_PROVIDER, PROVIDERS
from echoes_rt.backends.session_start import (
    SessionDials,
    first_line,
    import_onnxruntime,
    start_session,
)
from echoes_rt.backends.worker import Worker
from echoes_rt.errors import BackendError, BundleError
from echoes_rt.format.graphs import Dim, GraphSpec, Tensors, TensorSpec

logger = logging.getLogger(__name__)

T = TypeVar("T")

_DTYPES = {
    "float16": "float16",
    "float": "float32",
    "double": "float64",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "bool": "bool",
}

# Nearly all of a network's work. On the CPU is only what moves shapes and indices.
_WORK = ("MatMul", "Gemm", "Conv", "Attention")


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


def assigned_operators(session: Any) -> dict[str, Counter[str]] | None:
    """Kinds of operators by execution provider; None where ONNX Runtime does not tell (1.23)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    operators: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        counts = operators.setdefault(part.ep_name, Counter())
        counts.update(node.op_type for node in part.get_nodes())
    return operators


def check_coverage(graph: str, operators: dict[str, Counter[str]] | None, device: str) -> None:
    """Refuses a session that would do its work on the CPU although another device was asked for.

    Args:
        graph: the file's name.
        operators: as ``assigned_operators`` gives them.
        device: what was asked for.

    Raises:
        BackendError: if products or convolutions, or all nodes, lie on the CPU.
    """
    if operators is None:
        logger.info("%s: this ONNX Runtime does not tell which nodes %s runs", graph, device)
        return
    on_cpu = operators.get(CPU_PROVIDER, Counter())
    work = {kind: n for kind, n in on_cpu.items() if any(part in kind for part in _WORK)}
    if work or operators.keys() <= {CPU_PROVIDER}:
        raise BackendError(
            f"{graph} would run on the CPU although {device} was asked for ({_text(work or on_cpu)}"
            "); use a newer ONNX Runtime, or device cpu"
        )
    for name, counts in operators.items():
        logger.info("%s: %s has %d nodes", graph, name, counts.total())
    if on_cpu:
        logger.info("%s: on the CPU are %s", graph, _text(on_cpu))


def _text(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))


class Named(dict[str, T]):
    """Inputs or outputs by name; asking for one that the graph does not have raises BundleError."""

    def __init__(self, graph: str, values: dict[str, T]) -> None:
        super().__init__(values)
        self._graph = graph

    def __missing__(self, name: str) -> T:
        raise BundleError(f"{self._graph} has {', '.join(self)}, not {name}; get the bundle again")


def checked_outputs(
    graph: str, signature: GraphSpec, inputs: Arrays, values: Sequence[Any]
) -> Named[NDArray[Any]]:
    """The outputs by name.

    Raises:
        BundleError: if one's dtype or shape is not the one that belongs to the inputs. A dimension
            given by name is as large as the inputs say; where they do not, it is free.
    """
    sizes: dict[Dim, int] = {}
    for name, spec in signature.inputs.items():
        sizes.update(zip(spec.shape, inputs[name].shape, strict=False))
    outputs: Named[NDArray[Any]] = Named(graph, {})
    for (name, spec), value in zip(signature.outputs.items(), values, strict=True):
        output = outputs[name] = np.asarray(value)
        wanted = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape]
        is_same = len(wanted) == output.ndim and all(
            isinstance(dim, str) or dim == size
            for dim, size in zip(wanted, output.shape, strict=True)
        )
        if not is_same or output.dtype != np.dtype(spec.dtype):
            raise BundleError(
                f"{graph} gave {name} as {output.dtype} {list(output.shape)}, of which it says "
                f"{spec.dtype} {wanted}; get the bundle again"
            )
    return outputs
