"""What of NVIDIA's this machine has."""

import ctypes
from types import ModuleType

from echoes_rt.backends.probe import cuda_library, packaged
from echoes_rt.errors import EchoesError
from echoes_rt.nvidia import system as nvidia_system
from echoes_rt.nvidia.advice import give_advice
from echoes_rt.nvidia.cuda_driver import CudaDriver
from echoes_rt.nvidia.engines import MODULES, import_tensorrt
from echoes_rt.nvidia.gpu import GpuInfo, list_gpus
from echoes_rt.nvidia.system import architectures


def examine_gpu(onnxruntime: ModuleType | None) -> dict[str, object]:
    """A report that JSON can hold; ``advice`` names each trap with what mends it."""
    gpus, driver = _driver()
    l4t = nvidia_system.l4t_release()
    clocks = nvidia_system.clocks_mhz()
    kernels = _kernels(onnxruntime)
    report: dict[str, object] = {
        "driver": driver,
        "gpus": [gpu.to_text() for gpu in gpus],
        "cuda": _cuda_version(),
        "cudnn": _cudnn_version(),
        "tensorrt": {name: _tensorrt_version(flavour) for flavour, name in MODULES.items()},
        "onnxruntime_kernels": [f"sm_{sm}" for sm in sorted(kernels[0])],
        "board": nvidia_system.board_name() if l4t else None,
        "jetson_linux": l4t,
        "jetpack": nvidia_system.jetpack_release(l4t) if l4t else None,
        "power_mode": nvidia_system.power_mode(),
        "clocks_mhz": None if clocks is None else [*clocks],
    }
    return report | {"advice": give_advice(report, gpus, onnxruntime, kernels)}


def _driver() -> tuple[list[GpuInfo], str]:
    try:
        gpus = list_gpus(CudaDriver.load())
    except EchoesError as error:
        return [], str(error)
    newest = f"for CUDA up to {gpus[0].driver}" if gpus else "without a GPU"
    return gpus, f"{nvidia_system.driver_release() or 'of unknown release'}, {newest}"


def _kernels(onnxruntime: ModuleType | None) -> tuple[set[int], set[int]]:
    library = cuda_library(onnxruntime) if onnxruntime is not None else None
    return architectures(library) if library is not None else (set(), set())


def _cuda_version() -> str | None:
    """Of the CUDA runtime that the system finds."""
    for name in ("libcudart.so.13", "libcudart.so.12", "libcudart.so"):
        number = ctypes.c_int()
        library = _library(name)
        if library is not None and library.cudaRuntimeGetVersion(ctypes.byref(number)) == 0:
            return f"{number.value // 1000}.{number.value % 1000 // 10}"
    return None


def _cudnn_version() -> str | None:
    library = _library("libcudnn.so.9") or _library("libcudnn.so.8")
    if library is None:
        return None
    library.cudnnGetVersion.restype = ctypes.c_size_t
    number = library.cudnnGetVersion()
    # Since version 9 the major number counts ten thousands.
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def _library(name: str) -> ctypes.CDLL | None:
    """Where the system finds it, or in pip's NVIDIA packages, which ONNX Runtime loads from."""
    for place in filter(None, (name, packaged(name))):
        try:
            return ctypes.CDLL(str(place))
        except OSError:
            continue
    return None


def _tensorrt_version(flavour: str) -> str:
    try:
        return str(import_tensorrt(flavour).__version__)
    except ModuleNotFoundError:
        return "not installed"
    except (ImportError, OSError, RuntimeError) as error:
        return f"installed, but does not load: {' '.join(str(error).split())}"
