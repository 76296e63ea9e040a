"""One NVIDIA GPU: what it is, its stream, its memory, recorded work, and time as it sees it."""

import ctypes
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from ctypes import c_float, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import BackendError
from echoes_rt.nvidia.cuda_driver import ADDRESS, HANDLE, CudaDriver

_CLOCK_KHZ, _PROCESSORS, _INTEGRATED, _MAJOR, _MINOR = 13, 16, 18, 75, 76
_NON_BLOCKING = 1
_MAPPED = 2

# Only calls of the capturing thread are looked at: others may allocate meanwhile.
_THREAD_LOCAL = 1


@dataclass(frozen=True, kw_only=True)
class GpuInfo:
    """What the driver says of a GPU.

    Attributes:
        sm: compute capability times ten, such as 89.
        is_integrated: shares the CPU's memory, as a Jetson's does.
        clock_mhz: its highest.
        driver: the newest CUDA that the driver runs, such as 13.0.
    """

    index: int
    name: str
    sm: int
    memory_mb: float
    is_integrated: bool
    processors: int
    clock_mhz: float
    driver: str

    def to_text(self) -> str:
        return (
            f"{self.name}, sm_{self.sm}, {self.processors} multiprocessors at up to "
            f"{self.clock_mhz:.0f} MHz, {self.memory_mb:.0f} MB"
            f"{' shared with the CPU' if self.is_integrated else ''}"
        )


def list_gpus(driver: CudaDriver) -> list[GpuInfo]:
    return [_info(driver, index) for index in range(driver.get("cuDeviceGetCount", c_int))]


def find_gpu(driver: CudaDriver, index: int) -> GpuInfo:
    """Raises BackendError if there is no such GPU."""
    gpus = list_gpus(driver)
    if index >= len(gpus):
        raise BackendError(
            f"there is no GPU {index}: the driver lists {len(gpus)}; see CUDA_VISIBLE_DEVICES"
        )
    return gpus[index]


def _info(driver: CudaDriver, index: int) -> GpuInfo:
    device = driver.get("cuDeviceGet", c_int, index)

    def attribute(number: int) -> int:
        return int(driver.get("cuDeviceGetAttribute", c_int, number, device))

    name = ctypes.create_string_buffer(128)
    driver.call("cuDeviceGetName", name, len(name), device)
    version = driver.get("cuDriverGetVersion", c_int)
    return GpuInfo(
        index=index,
        name=name.value.decode(errors="replace"),
        sm=10 * attribute(_MAJOR) + attribute(_MINOR),
        memory_mb=driver.get("cuDeviceTotalMem_v2", c_size_t, device) / 1e6,
        is_integrated=bool(attribute(_INTEGRATED)),
        processors=attribute(_PROCESSORS),
        clock_mhz=attribute(_CLOCK_KHZ) / 1000,
        driver=f"{version // 1000}.{version % 1000 // 10}",
    )


class Gpu:
    """A GPU made ready, with one stream of its own.

    Attributes:
        lock: held by whoever uses the stream. What another thread put into it would become a part
            of the graph that is being recorded, and waiting for it would fail.
    """

    def __init__(self, index: int = 0) -> None:
        """Raises BackendError if there is no driver, or no such GPU."""
        driver = self.driver = CudaDriver.load()
        self.lock = threading.Lock()
        self.info = find_gpu(driver, index)
        # One context for each GPU and process, the same that TensorRT and ONNX Runtime use.
        device = driver.get("cuDeviceGet", c_int, index)
        self._context = driver.get("cuDevicePrimaryCtxRetain", HANDLE, device)
        self.enter()
        self.stream: int = driver.get("cuStreamCreate", HANDLE, _NON_BLOCKING)

    def enter(self) -> None:
        """Makes it the calling thread's GPU."""
        self.driver.call("cuCtxSetCurrent", self._context)

    def synchronize(self) -> None:
        self.driver.call("cuStreamSynchronize", self.stream)

    def free_memory_mb(self) -> float:
        free, total = c_size_t(), c_size_t()
        self.driver.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value / 1e6


class EventClock:
    """Time between two places in a GPU's stream, without what the host does in between."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        gpu.enter()
        self._events = [gpu.driver.get("cuEventCreate", HANDLE, 0) for _ in range(2)]

    def start(self) -> None:
        self._gpu.driver.call("cuEventRecord", self._events[0], self._gpu.stream)

    def stop_ms(self) -> float:
        """Waits for all that is in the stream."""
        driver = self._gpu.driver
        driver.call("cuEventRecord", self._events[1], self._gpu.stream)
        driver.call("cuEventSynchronize", self._events[1])
        return float(driver.get("cuEventElapsedTime", c_float, *self._events))


class GpuBuffer:
    """A fixed piece of memory at one address of the host and one of the device.

    On a GPU with memory of its own these are two pieces, the host's pinned, with copies between
    them in the GPU's stream. A GPU that shares the CPU's memory gets the host's own piece mapped:
    nothing is ever copied.
    """

    def __init__(self, gpu: Gpu, size_bytes: int) -> None:
        self._gpu = gpu
        self._size = max(1, size_bytes)
        self._is_mapped = gpu.info.is_integrated
        gpu.enter()
        driver = gpu.driver
        flags = _MAPPED if self._is_mapped else 0
        self._host: int = driver.get("cuMemHostAlloc", c_void_p, self._size, flags)
        if self._is_mapped:
            self.address: int = driver.get("cuMemHostGetDevicePointer_v2", ADDRESS, self._host, 0)
        else:
            self.address = driver.get("cuMemAlloc_v2", ADDRESS, self._size)
        pointer = ctypes.cast(self._host, ctypes.POINTER(ctypes.c_uint8))
        self._bytes = np.ctypeslib.as_array(pointer, (self._size,))

    def view(self, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:  # type: ignore[type-arg]
        """The host's piece, from its beginning on, as an array."""
        size = int(np.prod(shape)) * dtype.itemsize
        return self._bytes[:size].view(dtype).reshape(shape)

    def upload(self, size_bytes: int) -> None:
        """Puts a copy to the device into the stream, where one is needed."""
        if not self._is_mapped:
            self._gpu.driver.call(
                "cuMemcpyHtoDAsync_v2", self.address, self._host, size_bytes, self._gpu.stream
            )

    def download(self, size_bytes: int) -> None:
        """Puts a copy to the host into the stream, where one is needed."""
        if not self._is_mapped:
            self._gpu.driver.call(
                "cuMemcpyDtoHAsync_v2", self._host, self.address, size_bytes, self._gpu.stream
            )

    def free(self) -> None:
        self._gpu.enter()
        if not self._is_mapped:
            self._gpu.driver.call("cuMemFree_v2", self.address)
        self._gpu.driver.call("cuMemFreeHost", self._host)


class CudaGraph:
    """Work in a GPU's stream, launched as one."""

    def __init__(self, gpu: Gpu, executable: int) -> None:
        self._gpu = gpu
        self._executable = executable

    @classmethod
    def capture(cls, gpu: Gpu, record: Callable[[], None]) -> "CudaGraph":
        """Records what ``record`` puts into the stream.

        ``record`` must have run before, so that nothing is allocated for the first time.

        Raises:
            BackendError: where that is not possible.
        """
        driver = gpu.driver
        driver.call("cuStreamBeginCapture_v2", gpu.stream, _THREAD_LOCAL)
        try:
            record()
        finally:
            # Always ended: a stream that is being captured can do nothing else.
            graph = HANDLE()
            driver.call("cuStreamEndCapture", gpu.stream, ctypes.byref(graph))
        executable = driver.get("cuGraphInstantiateWithFlags", HANDLE, graph, 0)
        driver.call("cuGraphDestroy", graph)
        return cls(gpu, executable)

    def launch(self) -> None:
        self._gpu.driver.call("cuGraphLaunch", self._executable, self._gpu.stream)

    def free(self) -> None:
        self._gpu.driver.call("cuGraphExecDestroy", self._executable)


_DOMAIN = "echoes-rt"


def nvtx_range(name: str) -> AbstractContextManager[Any]:
    """What runs inside has this name on Nsight's time line."""
    annotate = _annotate()
    return nullcontext() if annotate is None else annotate(name, domain=_DOMAIN)


@lru_cache(maxsize=1)
def _annotate() -> Any:
    try:
        import nvtx
    except ImportError:
        return None
    return nvtx.annotate
