"""What of NVIDIA's this machine has, and the traps that it sits in."""

import ctypes
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

from echoes_rt.backends import nvidia_system
from echoes_rt.backends.cuda_driver import CudaDriver
from echoes_rt.backends.engines import MODULES, import_tensorrt
from echoes_rt.backends.fatbin import architectures, runs_on
from echoes_rt.backends.gpu import GpuInfo, list_gpus
from echoes_rt.backends.probe import cuda_library
from echoes_rt.errors import EchoesError

_SYSTEM_TENSORRT = Path("/usr/lib/python3/dist-packages/tensorrt")
_TOOLKIT = Path("/usr/local/cuda")
_FULL_POWER = "MAXN"


def examine_gpu(onnxruntime: ModuleType | None) -> dict[str, object]:
    """A report that JSON can hold; ``advice`` names each trap with what mends it."""
    gpus, driver = _driver()
    l4t = nvidia_system.l4t_release()
    clocks = nvidia_system.clocks_mhz()
    report: dict[str, object] = {
        "driver": driver,
        "gpus": [gpu.to_text() for gpu in gpus],
        "cuda": _cuda_version(),
        "cudnn": _cudnn_version(),
        "tensorrt": {name: _tensorrt_version(flavour) for flavour, name in MODULES.items()},
        "onnxruntime_kernels": [f"sm_{sm}" for sm in sorted(_kernels(onnxruntime)[0])],
        "board": nvidia_system.board_name() if l4t else None,
        "jetson_linux": l4t,
        "jetpack": nvidia_system.jetpack_release(l4t) if l4t else None,
        "power_mode": nvidia_system.power_mode(),
        "clocks_mhz": None if clocks is None else [*clocks],
    }
    return report | {"advice": [*_advice(report, gpus, onnxruntime)]}


def _driver() -> tuple[list[GpuInfo], str]:
    try:
        gpus = list_gpus(CudaDriver.load())
    except EchoesError as error:
        return [], str(error)
    newest = f"for CUDA up to {gpus[0].driver}" if gpus else "without a GPU"
    return gpus, f"{nvidia_system.driver_release() or 'of unknown release'}, {newest}"


def _advice(
    report: dict[str, object], gpus: list[GpuInfo], onnxruntime: ModuleType | None
) -> list[str]:
    advice = []
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(installed) > 1:
        advice.append(
            "onnxruntime and onnxruntime-gpu overwrite each other's files: uninstall both, then "
            "install one"
        )
    codes, ptx = _kernels(onnxruntime)
    for gpu in gpus:
        if codes | ptx and not runs_on(gpu.sm, codes, ptx):
            advice.append(
                f"this onnxruntime-gpu has no kernels for sm_{gpu.sm} ({gpu.name}): use device "
                "tensorrt, or an ONNX Runtime built for it; device cpu works"
            )
    wants = str(getattr(onnxruntime, "cuda_version", "") or "")
    if gpus and wants and _major(wants) > _major(gpus[0].driver):
        advice.append(
            f"this onnxruntime-gpu is for CUDA {wants}, the driver for up to {gpus[0].driver}: "
            "update the driver, or install an older onnxruntime-gpu"
        )
    if not gpus and any(Path("/dev").glob("nvidia[0-9]*")):
        advice.append(
            "there is a GPU without a driver's library: in a container, start it with --gpus all, "
            "on a Jetson with --runtime nvidia"
        )
    return advice + _jetson_advice(report)


def _jetson_advice(report: dict[str, object]) -> list[str]:
    if report["jetson_linux"] is None:
        return []
    advice = []
    has_tensorrt = any(str(v)[:1].isdigit() for v in dict(report["tensorrt"]).values())  # type: ignore[call-overload]
    if not has_tensorrt and _SYSTEM_TENSORRT.exists():
        advice.append(
            f"JetPack's TensorRT lies in {_SYSTEM_TENSORRT.parent}, which this environment does "
            "not see: make it with python3 -m venv --system-site-packages"
        )
    elif not has_tensorrt:
        advice.append("JetPack's TensorRT is missing: sudo apt install python3-libnvinfer")
    if report["cuda"] is None and _TOOLKIT.is_dir():
        advice.append(
            f"CUDA lies in {_TOOLKIT} and is not found: export LD_LIBRARY_PATH={_TOOLKIT}/lib64 "
            f"PATH=$PATH:{_TOOLKIT}/bin"
        )
    mode, clocks = str(report["power_mode"] or ""), report["clocks_mhz"]
    if mode and not mode.startswith(_FULL_POWER):
        advice.append(
            f"the power mode is {mode}: sudo nvpmodel -m with the number that /etc/nvpmodel.conf "
            "gives MAXN or MAXN_SUPER takes all cores and clocks"
        )
    if isinstance(clocks, list) and clocks[0] < clocks[1]:
        advice.append("the GPU's clock is below its highest: sudo jetson_clocks before timing")
    return advice


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
    places = [name]
    for folder in sys.path:
        places += map(str, Path(folder or ".").glob(f"nvidia/*/lib/{name}"))
    for place in places:
        try:
            return ctypes.CDLL(place)
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


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _major(version: str) -> int:
    return int(version.split(".")[0])
