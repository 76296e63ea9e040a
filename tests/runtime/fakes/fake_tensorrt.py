"""TensorRT's Python module as far as we call it; its engines run a graph by ONNX Runtime.

``test_names_are_tensorrts_own`` holds the names to the real module where that is installed.
"""

import ctypes
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tests.runtime.fakes.engines import VERSION

__version__ = VERSION


class TensorIOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class DataType(Enum):
    FLOAT = "float32"
    INT32 = "int32"
    BOOL = "bool"


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


def nptype(kind: DataType) -> type:
    return np.dtype(kind.value).type


class Runtime:
    """``limits`` by free dimension, and the driver, are the test's."""

    driver: Any
    limits: dict[str, tuple[int, int]]

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, data: bytes) -> "ICudaEngine | None":
        if not data.startswith(b"engine of "):
            self.logger.log(ILogger.ERROR, "Error Code 1:\n  bad magic")  # type: ignore[attr-defined]
            return None
        return ICudaEngine(Path(data[10:].decode()))


class ICudaEngine:
    num_io_tensors: int

    def __init__(self, graph: Path) -> None:
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        self.tensors = {t.name: t for t in (*inputs, *outputs)}
        self.inputs = [t.name for t in inputs]
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return [*self.tensors][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        names = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(bool)": "bool"}
        return DataType(names[self.tensors[name].type])

    def get_tensor_shape(self, name: str) -> list[int]:
        sizes = [Runtime.limits.get(d, (d, d)) for d in self.tensors[name].shape]
        return [least if least == most else -1 for least, most in sizes]

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[list[int]]:
        assert profile == 0
        sizes = [Runtime.limits.get(d, (d, d)) for d in self.tensors[name].shape]
        least, most = ([size[i] for size in sizes] for i in range(2))
        return [least, least, most]

    def create_execution_context(self) -> "IExecutionContext":
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.runs = 0
        self._kernel = ctypes.CFUNCTYPE(None)(self._compute)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self.engine.get_tensor_profile_shape(name, 0)
        fits = all(a <= b <= c for a, b, c in zip(smallest, shape, largest, strict=True))
        self.shapes[name] = tuple(shape)
        return fits

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.shapes:
            return self.shapes[name]
        free = {
            dim: size
            for key, shape in self.shapes.items()
            for dim, size in zip(self.engine.tensors[key].shape, shape, strict=True)
        }
        shape = tuple(free.get(dim, dim) for dim in self.engine.tensors[name].shape)
        return self._found_shape(name) if any(isinstance(d, str) for d in shape) else shape

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == 0x57
        return Runtime.driver.fake_enqueue(self._kernel) == 0

    def _found_shape(self, name: str) -> tuple[int, ...]:
        """Of an output with a size that is no input's, such as samples of frames."""
        zeros = {
            key: np.zeros(shape, dtype=self.engine.get_tensor_dtype(key).value)
            for key, shape in self.shapes.items()
        }
        return self.engine.session.run([name], zeros)[0].shape

    def _array(self, name: str) -> np.ndarray:
        shape = self.get_tensor_shape(name)
        dtype = np.dtype(self.engine.get_tensor_dtype(name).value)
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_uint8 * size).from_address(self.addresses[name])
        return np.frombuffer(memory, dtype=dtype).reshape(shape)

    def _compute(self) -> None:
        self.runs += 1
        names = [n for n in self.engine.tensors if n not in self.engine.inputs]
        outputs = self.engine.session.run(
            names, {n: self._array(n).copy() for n in self.engine.inputs}
        )
        for name, output in zip(names, outputs, strict=True):
            self._array(name)[...] = output
