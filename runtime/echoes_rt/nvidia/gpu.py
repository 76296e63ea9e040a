"""One NVIDIA GPU: what it is, its stream, and time as it sees it."""

import ctypes
import threading
from contextlib import AbstractContextManager, nullcontext
from ctypes import c_float, c_int, c_size_t
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from echoes_rt.errors import BackendError
from echoes_rt.nvidia.cuda_driver import HANDLE, CudaDriver

_CLOCK_KHZ, _PROCESSORS, _INTEGRATED, _MAJOR, _MINOR = 13, 16, 18, 75, 76
_NON_BLOCKING = 1


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

    def __init__(self, driver: CudaDriver, index: int = 0) -> None:
        """Raises BackendError if there is no such GPU."""
        self.driver = driver
        self.lock = threading.Lock()
        self.info = find_gpu(driver, index)
        # One context for each GPU and process, the same that TensorRT and ONNX Runtime use.
        device = driver.get("cuDeviceGet", c_int, index)
        self._context = driver.get("cuDevicePrimaryCtxRetain", HANDLE, device)
        self.enter()
        self.stream: int = driver.get("cuStreamCreate", HANDLE, _NON_BLOCKING)

    @classmethod
    def open(cls, index: int = 0) -> "Gpu":
        return cls(CudaDriver.load(), index)

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
