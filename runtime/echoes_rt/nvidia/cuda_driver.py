"""The calls of NVIDIA's driver that we need, by ctypes.

The driver's own library is on every machine with a GPU, a Jetson too, and its functions keep their
signatures; the CUDA runtime is neither. TensorRT and ONNX Runtime use the same primary context.
"""

import ctypes
import sys
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

from echoes_rt.errors import BackendError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

HANDLE = c_void_p  # contexts, streams, events and graphs
ADDRESS = c_uint64  # of device memory

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceTotalMem_v2": (POINTER(c_size_t), c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(HANDLE), c_int),
    "cuCtxSetCurrent": (HANDLE,),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemAlloc_v2": (POINTER(ADDRESS), c_size_t),
    "cuMemFree_v2": (ADDRESS,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemHostGetDevicePointer_v2": (POINTER(ADDRESS), c_void_p, c_uint),
    "cuMemcpyHtoDAsync_v2": (ADDRESS, c_void_p, c_size_t, HANDLE),
    "cuMemcpyDtoHAsync_v2": (c_void_p, ADDRESS, c_size_t, HANDLE),
    "cuStreamCreate": (POINTER(HANDLE), c_uint),
    "cuStreamSynchronize": (HANDLE,),
    "cuStreamDestroy_v2": (HANDLE,),
    "cuStreamBeginCapture_v2": (HANDLE, c_int),
    "cuStreamEndCapture": (HANDLE, POINTER(HANDLE)),
    "cuGraphInstantiateWithFlags": (POINTER(HANDLE), HANDLE, c_uint64),
    "cuGraphLaunch": (HANDLE, HANDLE),
    "cuGraphDestroy": (HANDLE,),
    "cuGraphExecDestroy": (HANDLE,),
    "cuEventCreate": (POINTER(HANDLE), c_uint),
    "cuEventRecord": (HANDLE, HANDLE),
    "cuEventSynchronize": (HANDLE,),
    "cuEventElapsedTime": (POINTER(c_float), HANDLE, HANDLE),
    "cuEventDestroy_v2": (HANDLE,),
}


class CudaError(BackendError):
    """A call of the driver failed; ``code`` is its CUresult."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"{function} failed: {text} (CUDA error {code})")
        self.code = code


class CudaDriver:
    """The loaded driver; its functions raise CudaError, and ``get`` gives what they write."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, c_int
        library.cuGetErrorString.argtypes = (c_int, POINTER(c_char_p))

    @classmethod
    def load(cls) -> "CudaDriver":
        """Loads and starts the driver.

        Raises:
            BackendError: if there is none, or it does not start.
        """
        try:
            driver = cls(ctypes.CDLL(LIBRARY))
        except OSError as error:
            raise BackendError(
                f"there is no NVIDIA driver ({LIBRARY} cannot be loaded); "
                "install one, or use device cpu"
            ) from error
        except AttributeError as error:
            raise BackendError(
                f"the NVIDIA driver is too old ({error}); install one for CUDA 12 or newer"
            ) from error
        try:
            driver.call("cuInit", 0)
        except CudaError as error:
            raise BackendError(f"the NVIDIA driver does not start: {error}; {_INIT}") from error
        return driver

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise CudaError(name, code, self._text(code))

    def get(self, name: str, kind: Any, *arguments: Any) -> Any:
        """Calls a function whose first argument is where it writes its one result."""
        result = kind()
        self.call(name, ctypes.byref(result), *arguments)
        return result.value

    def _text(self, code: int) -> str:
        text = c_char_p()
        self._library.cuGetErrorString(code, ctypes.byref(text))
        return (text.value or b"unknown error").decode(errors="replace")


_INIT = "see that nvidia-smi works (on a Jetson, tegrastats), that the user may open /dev/nvidia*, "
_INIT += "and in a container that it was started with --gpus all or --runtime nvidia"
