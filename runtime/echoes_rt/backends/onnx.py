"""Graphs run by ONNX Runtime."""

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around
from echoes_rt.backends.coverage import assigned_operators, check_coverage
from echoes_rt.backends.device import Device, parse_device
from echoes_rt.backends.lifetime import running
from echoes_rt.backends.outputs import check_outputs
from echoes_rt.backends.provider import PROVIDERS
from echoes_rt.backends.session_start import (
    SessionDials,
    first_line,
    import_onnxruntime,
    start_session,
)
from echoes_rt.errors import BackendError, BundleError
from echoes_rt.spec.graphs import GraphSpec, TensorSpec

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


class OnnxSession:
    """One graph; thread-safe, as ONNX Runtime's own sessions are."""

    def __init__(
        self,
        path: Path,
        signature: GraphSpec,
        device: str,
        threads: int | None = None,
        *,
        dials: SessionDials | None = None,
    ) -> None:
        """Loads a graph and checks that it is what the manifest says.

        Args:
            path: the ONNX file.
            signature: as the manifest gives it.
            device: of those that ONNX Runtime runs, never ``auto``.
            threads: for one operator; None is one a core, or the quota.
            dials: how the session is started, threads included.

        Raises:
            BackendError: if the device cannot run it, or would leave its work to the CPU.
            BundleError: if the graph's inputs or outputs are not those of ``signature``.
        """
        self._session = open_graph(path, signature, device, dials or SessionDials(threads=threads))
        self._path = path
        self._device = device
        self._signature = signature
        self._output_names = list(signature.outputs)
        self.launches = count_on(parse_device(device), self._session)
        self.around: Around = nullcontext

    @property
    def device(self) -> str:
        return self._device

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            with self.around(), running(import_onnxruntime().RunOptions()) as options:
                outputs = self._session.run(self._output_names, dict(inputs), options)
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise BackendError(
                f"{self._path.name} failed on {self._device}: {first_line(error)}"
            ) from error
        named = {
            name: np.asarray(output)
            for name, output in zip(self._output_names, outputs, strict=True)
        }
        check_outputs(self._path.name, self._signature, inputs, named)
        return named

    def end_profile(self) -> Path:
        """The file that tells of every node."""
        return Path(self._session.end_profiling())


def count_on(device: Device, session: Any) -> int:
    """How many nodes of a session a device other than the CPU runs; 0 where nobody tells."""
    if device.kind == "cpu":
        return 0
    operators = assigned_operators(session) or {}
    return operators.get(PROVIDERS[device.kind].name, Counter()).total()


def open_graph(path: Path, signature: GraphSpec, device: str, dials: SessionDials) -> Any:
    """ONNX Runtime's session of a graph, checked; raises as ``OnnxSession`` does."""
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
    _check_tensors(path, "input", session.get_inputs(), signature.inputs)
    _check_tensors(path, "output", session.get_outputs(), signature.outputs)
    return session


def _check_tensors(
    path: Path, kind: str, tensors: list[Any], expected: dict[str, TensorSpec]
) -> None:
    got = {tensor.name: tensor for tensor in tensors}
    if got.keys() != expected.keys():
        raise BundleError(
            f"{path.name} has the {kind}s {', '.join(got)}, the manifest says {', '.join(expected)}"
        )
    for name, spec in expected.items():
        dtype = _DTYPES.get(got[name].type, got[name].type)
        shape = got[name].shape
        is_same = len(shape) == len(spec.shape) and all(
            actual == said
            for actual, said in zip(shape, spec.shape, strict=False)
            if isinstance(actual, int) and isinstance(said, int)
        )
        if dtype != spec.dtype or not is_same:
            raise BundleError(
                f"{kind} {name} of {path.name} is {dtype} {shape}, the manifest says "
                f"{spec.dtype} {list(spec.shape)}"
            )
