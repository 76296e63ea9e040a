"""Memory that the host fills or reads and a GPU computes in."""

import ctypes
from ctypes import c_void_p

import numpy as np
from numpy.typing import NDArray

from echoes_rt.nvidia.cuda_driver import ADDRESS
from echoes_rt.nvidia.gpu import Gpu

_MAPPED = 2


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
