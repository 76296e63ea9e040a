"""Graphs run by a TensorRT engine: fixed buffers, one enqueue."""

import logging
import os
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around, Arrays
from echoes_rt.errors import BackendError, BundleError, InputError
from echoes_rt.format.engine_file import EngineFile
from echoes_rt.format.graphs import BATCH, STEPS
from echoes_rt.nvidia.engines import FoundEngine, import_tensorrt, make_log
from echoes_rt.nvidia.gpu import CudaGraph, Gpu, GpuBuffer

logger = logging.getLogger(__name__)

GRAPH_VARIABLE = "ECHOES_RT_CUDA_GRAPH"
"""Set to 0, every call is put into the stream anew instead of as one recorded graph."""


class TensorRTSession:
    """One engine; calls of several threads take turns, also with the GPU's other engines."""

    def __init__(self, engine: FoundEngine, gpu: Gpu) -> None:
        """Loads an engine and checks that it takes and gives what the graph does.

        Raises:
            BackendError: if it does not load.
            BundleError: if its inputs or outputs are not those of its record.
        """
        flavour = engine.record.key.flavour
        self._name = engine.path.name
        self._gpu = gpu
        self._file = engine.record
        self.inputs = engine.record.inputs
        gpu.enter()
        library = import_tensorrt(flavour)
        self._log = make_log(library)
        self._engine = self._load(library, engine.path)
        self._context = self._make_context(library)
        self._check(library)
        self._buffers = self._make_buffers()
        # TensorRT-RTX records graphs by itself.
        self._is_recording = flavour == "tensorrt" and os.environ.get(GRAPH_VARIABLE) != "0"
        self._graphs: dict[tuple[tuple[int, ...], ...], CudaGraph | None] = {}
        # Not at the program's end, when the driver may be gone before.
        weakref.finalize(self, _free, self._buffers, self._graphs).atexit = False
        self.launches = 1
        self.around: Around = nullcontext
        self.unrecorded: str | None = None

    @property
    def device(self) -> str:
        return f"tensorrt:{self._gpu.info.index}"

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Takes any batch: what is more than the engine's goes through it in turns.

        Raises:
            InputError: if the engine was not built for so many steps.
            BackendError: if TensorRT or the driver fails.
        """
        with self._gpu.lock:
            self._gpu.enter()
            parts = [self._run(part) for part in fit(inputs, self._file)]
        if len(parts) == 1:
            return parts[0]
        return {
            name: np.concatenate([part[name] for part in parts], axis=spec.shape.index(BATCH))
            for name, spec in self._file.outputs.items()
        }

    def _run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        sizes = {}
        for name, spec in self._file.inputs.items():
            array = np.ascontiguousarray(inputs[name], dtype=spec.dtype)
            self._buffers[name].view(array.dtype, array.shape)[...] = array
            sizes[name] = array.nbytes
            if not self._context.set_input_shape(name, array.shape):
                raise self._failed(f"refused the shape {array.shape} of {name}")
        outputs = {
            name: self._buffers[name].view(
                np.dtype(spec.dtype), tuple(self._context.get_tensor_shape(name))
            )
            for name, spec in self._file.outputs.items()
        }

        def enqueue() -> None:
            for name, size in sizes.items():
                self._buffers[name].upload(size)
            if not self._context.execute_async_v3(self._gpu.stream):
                raise self._failed("did not run")
            for name, output in outputs.items():
                self._buffers[name].download(output.nbytes)

        with self.around():
            self._launch(tuple(np.shape(inputs[name]) for name in sizes), enqueue)
            self._gpu.synchronize()
        return {name: output.copy() for name, output in outputs.items()}

    def _launch(self, shapes: tuple[tuple[int, ...], ...], enqueue: Any) -> None:
        """The first call of a shape runs as it is, the second is recorded, all others replayed."""
        if shapes in self._graphs:
            graph = self._graphs[shapes]
            if graph is None and self._is_recording and len(self._graphs) <= _MAX_GRAPHS:
                graph = self._graphs[shapes] = self._record(enqueue)
            if graph is not None:
                graph.launch()
                return
        else:
            self._graphs[shapes] = None
        enqueue()

    def _record(self, enqueue: Any) -> CudaGraph | None:
        can = getattr(self._context, "is_stream_capturable", None)  # newer than TensorRT 10.3
        try:
            if can is not None and not can(self._gpu.stream):
                raise BackendError("TensorRT says that it cannot be")
            return CudaGraph.capture(self._gpu, enqueue)
        except BackendError as error:
            self._is_recording = False
            self.unrecorded = str(error)
            logger.warning(
                "%s is not recorded as a CUDA graph and takes longer: %s", self._name, error
            )
            return None

    def _load(self, library: ModuleType, path: Path) -> Any:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror}") from error
        # Kept alive: an engine needs the runtime that made it.
        self._runtime = library.Runtime(self._log)
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise self._failed("does not load")
        return engine

    def _make_context(self, library: ModuleType) -> Any:
        if hasattr(library, "CudaGraphStrategy") and os.environ.get(GRAPH_VARIABLE) != "0":
            config = self._engine.create_runtime_config()
            config.cuda_graph_strategy = library.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context = self._engine.create_execution_context(config)
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise self._failed("gets no memory to run in")
        return context

    def _make_buffers(self) -> dict[str, GpuBuffer]:
        """For the largest question that the engine takes."""
        record = self._file
        for name, spec in record.inputs.items():
            largest = (record.ranges[d][2] if isinstance(d, str) else d for d in spec.shape)
            self._context.set_input_shape(name, tuple(largest))
        buffers = {}
        for name, spec in (record.inputs | record.outputs).items():
            size = int(np.prod(self._context.get_tensor_shape(name)))
            buffers[name] = GpuBuffer(self._gpu, size * np.dtype(spec.dtype).itemsize)
            self._context.set_tensor_address(name, buffers[name].address)
        return buffers

    def _check(self, library: ModuleType) -> None:
        """That the engine has the tensors of its record."""
        engine = self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        found = {n: np.dtype(library.nptype(engine.get_tensor_dtype(n))).name for n in names}
        tensors = self._file.inputs | self._file.outputs
        said = {name: spec.dtype for name, spec in tensors.items()}
        if found != said:
            raise BundleError(
                f"engine {self._name} has the tensors {_text(found)}, its record says "
                f"{_text(said)}; build it again with echoes-export engine"
            )

    def _failed(self, what: str) -> BackendError:
        said = f" ({self._log.errors[-1]})" if self._log.errors else ""
        return BackendError(
            f"engine {self._name} {what}{said}; build it again with echoes-export engine, or use "
            "another device"
        )


def _free(
    buffers: dict[str, GpuBuffer], graphs: dict[tuple[tuple[int, ...], ...], CudaGraph | None]
) -> None:
    for graph in filter(None, graphs.values()):
        graph.free()
    for buffer in buffers.values():
        buffer.free()


_MAX_GRAPHS = 16
"""Shapes of which a graph is kept: each holds memory of the GPU."""


def _text(dtypes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())


def fit(inputs: Arrays, engine: EngineFile) -> list[Arrays]:
    """The same question in parts that the engine takes, in the order of the batch.

    Members do not depend on each other, so a large batch is several small ones.

    Raises:
        InputError: if there are more steps than the engine was built for.
        BackendError: if another size is none of the engine's.
    """
    sizes = {
        dim: inputs[name].shape[axis]
        for name, spec in engine.inputs.items()
        for axis, dim in enumerate(spec.shape)
        if isinstance(dim, str)
    }
    for dim, size in sizes.items():
        least, _, most = engine.ranges[dim]
        if dim == STEPS and size > most:
            raise InputError(
                f"steps must be at most {most} with this TensorRT engine, got {size}; build one "
                "for more with echoes-export engine, or use another device"
            )
        if dim != BATCH and not least <= size <= most:
            raise BackendError(f"{dim} must be in [{least}, {most}] with this engine, got {size}")
    if BATCH not in sizes:
        return [inputs]
    axes = {n: spec.shape.index(BATCH) for n, spec in engine.inputs.items() if BATCH in spec.shape}
    parts = -(-sizes[BATCH] // engine.ranges[BATCH][2])
    starts = [sizes[BATCH] * i // parts for i in range(parts + 1)]
    return [
        {
            name: np.take(array, np.arange(start, stop), axis=axes[name]) if name in axes else array
            for name, array in inputs.items()
        }
        for start, stop in pairwise(starts)
    ]
