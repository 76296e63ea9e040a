"""Graphs run by ONNX Runtime."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import BackendError, BundleError
from echoes_rt.spec.graphs import GraphSpec, TensorSpec

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

# y = Identity(x) on one float, opset 13: the least that a provider can be asked to start for.
_PROBE_GRAPH = bytes.fromhex(
    "08073a370a100a017812017922084964656e746974791201705a0f0a0178120a0a08080112040a02080162"
    "0f0a0179120a0a08080112040a02080142040a00100d"
)

# Errors reach the user as exceptions; on stderr they would only say the same in many lines.
_FATAL_ONLY = 4
_WARNINGS = 2

_CONFIG = {
    # A bundle's graphs run one after another, each with threads of its own: those of the last one
    # would spin for a while and take the cores from the next.
    "session.force_spinning_stop": "1",
    # The arena grows in powers of two, which is for what comes and goes, not for weights.
    "session.use_device_allocator_for_initializers": "1",
}

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


def import_onnxruntime() -> ModuleType:
    """The only place that imports it.

    Raises:
        BackendError: if it is missing or broken.
    """
    try:
        import onnxruntime
    except ImportError as error:
        if getattr(error, "name", None) == "onnxruntime":
            raise BackendError(
                "no ONNX Runtime found; install echoes-rt[cpu] or echoes-rt[gpu]"
            ) from error
        raise BackendError(f"ONNX Runtime is installed but cannot be loaded: {error}") from error
    module: ModuleType = onnxruntime
    return module


@dataclass(frozen=True, kw_only=True)
class MissingDevice:
    """Why a device cannot be used, and what to do if it should be."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}"


def missing_cuda(index: int = 0) -> MissingDevice | None:
    """None if a session starts on that CUDA device.

    ONNX Runtime lists the CUDA provider wherever it was built in and gives a CPU session where it
    does not start, so only a session's own list of providers can be believed.
    """
    onnxruntime = import_onnxruntime()
    version = onnxruntime.__version__
    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return MissingDevice(
            reason=f"ONNX Runtime {version} was built without CUDA",
            remedy="install echoes-rt[gpu] in an environment without echoes-rt[cpu]",
        )
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            if hasattr(onnxruntime, "preload_dlls"):  # since 1.21; finds pip's CUDA libraries
                onnxruntime.preload_dlls()
            session = _start(onnxruntime, _PROBE_GRAPH, f"cuda:{index}", threads=1)
        if CUDA_PROVIDER in session.get_providers():
            return None
        detail = said.getvalue()
    except Exception as error:  # ONNX Runtime's exceptions share no other parent
        detail = said.getvalue() or str(error)
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)
    first_line = f" ({detail.strip().splitlines()[0]})" if detail.strip() else ""
    return MissingDevice(
        reason=f"CUDA does not start on device {index} in ONNX Runtime {version}{first_line}",
        remedy="check the NVIDIA driver, CUDA and cuDNN",
    )


class OnnxSession:
    """One graph; thread-safe, as ONNX Runtime's own sessions are."""

    def __init__(
        self,
        path: Path,
        signature: GraphSpec,
        device: str,
        threads: int | None = None,
        *,
        profile: Path | None = None,
        is_packing: bool = True,
    ) -> None:
        """Loads a graph and checks that it is what the manifest says.

        Args:
            path: the ONNX file.
            signature: as the manifest gives it.
            device: ``cpu`` or ``cuda:<index>``, never ``auto``.
            threads: for one operator; None leaves it to ONNX Runtime.
            profile: how the file's name begins that tells of every node; None: none is written.
            is_packing: whether weights are laid out anew for the kernels, which is faster.

        Raises:
            BackendError: if the device cannot run it.
            BundleError: if the graph's inputs or outputs are not those of ``signature``.
        """
        onnxruntime = import_onnxruntime()
        try:
            self._session = _start(
                onnxruntime, str(path), device, threads, profile=profile, is_packing=is_packing
            )
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise BackendError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {_first_line(error)}"
            ) from error
        if device != "cpu" and CUDA_PROVIDER not in self._session.get_providers():
            raise BackendError(f"{path.name} does not run on {device}: {missing_cuda()}")
        _check_tensors(path, "input", self._session.get_inputs(), signature.inputs)
        _check_tensors(path, "output", self._session.get_outputs(), signature.outputs)
        self._path = path
        self._device = device
        self._output_names = list(signature.outputs)

    @property
    def device(self) -> str:
        return self._device

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            outputs = self._session.run(self._output_names, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise BackendError(
                f"{self._path.name} failed on {self._device}: {_first_line(error)}"
            ) from error
        return {
            name: np.asarray(output)
            for name, output in zip(self._output_names, outputs, strict=True)
        }

    def end_profile(self) -> Path:
        """The file that tells of every node."""
        return Path(self._session.end_profiling())


def _start(
    onnxruntime: ModuleType,
    graph: str | bytes,
    device: str,
    threads: int | None,
    *,
    profile: Path | None = None,
    is_packing: bool = True,
) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    for key, value in _CONFIG.items():
        options.add_session_config_entry(key, value)
    if threads is not None:
        options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if not is_packing:
        options.add_session_config_entry("session.disable_prepacking", "1")
    providers: list[object] = [CPU_PROVIDER]
    if device != "cpu":
        index = device.removeprefix("cuda:")
        providers.insert(0, (CUDA_PROVIDER, {"device_id": index}))
    # Without enable_fallback=0 a failing provider is replaced by the CPU's.
    return onnxruntime.InferenceSession(
        graph,
        sess_options=options,
        providers=providers,
        enable_fallback=0,
        disabled_optimizers=_broken_optimizers(onnxruntime.__version__),
    )


def _broken_optimizers(version: str) -> list[str] | None:
    """Before 1.23 this fusion names two nodes alike and then refuses its own graph."""
    release = tuple(int(part) for part in version.split(".")[:2])
    return ["GatherSliceToSplitFusion"] if release < (1, 23) else None


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
