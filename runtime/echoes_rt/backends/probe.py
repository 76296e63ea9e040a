"""Whether a device can really compute, and what to do if not.

ONNX Runtime lists a provider wherever it was built in, and gives a session on the CPU where it does
not start. So a small graph is run on the device itself, with the CPU forbidden.
"""

import ctypes
import re
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np

from echoes_rt.backends.device import Device
from echoes_rt.backends.provider import PROVIDERS
from echoes_rt.backends.session_start import (
    SessionDials,
    first_line,
    import_onnxruntime,
    quiet,
    start_session,
)
from echoes_rt.errors import BackendError
from echoes_rt.nvidia.cuda_driver import CudaDriver
from echoes_rt.nvidia.gpu import find_gpu
from echoes_rt.nvidia.system import architectures, runs_on

# y = MatMul(Conv(x, x), x) + x for x of shape (1, 1, 1, 1), opset 13: a kernel of ONNX Runtime's
# own, one of cuBLAS and one of cuDNN, each of which may be what is missing.
_GRAPH = bytes.fromhex(
    "08073a710a0f0a01780a01781201632204436f6e760a110a01630a017812016d22064d61744d756c0a0e0a01"
    "6d0a017812017922034164641201705a1b0a017812160a14080112100a0208010a0208010a0208010a020801"
    "621b0a017912160a14080112100a0208010a0208010a0208010a02080142040a00100d"
)
_X, _Y = np.full((1, 1, 1, 1), 2.0, dtype=np.float32), 10.0

_CUDA_PACKAGES = "pip install 'onnxruntime-gpu[cuda,cudnn]'"

# What the system says, and what mends it.
_MENDS = (
    (r"libcuda\.so|libnvidia-ml\.so|nvcuda\.dll", "install the NVIDIA driver, or use device cpu"),
    (r"libcudnn", f"install cuDNN 9: {_CUDA_PACKAGES}"),
    (r"libcu\w+\.so\.(\d+)", f"install the libraries of its CUDA version: {_CUDA_PACKAGES}"),
    (r"libnvinfer\.so\.10", "install TensorRT 10: pip install 'tensorrt<11'"),
    (r"no kernel image", "install an ONNX Runtime built for this GPU, or use device tensorrt"),
    (r"insufficient|unsupported toolchain", "update the NVIDIA driver, or install an older CUDA"),
    (r"out of memory|OUT_OF_MEMORY", "end what else uses the GPU, or use device cpu"),
)
_CUDNN = "libcudnn.so.9"

_LAST_MEND = "echoes-rt doctor shows what is installed"


def missing_provider(device: Device) -> str | None:
    """Why ONNX Runtime does not compute on that device, which is not the CPU, and what mends it."""
    onnxruntime = import_onnxruntime()
    provider = PROVIDERS[device.kind]
    is_listed = provider.name in onnxruntime.get_available_providers()
    if provider.package is None and not is_listed:
        version = onnxruntime.__version__
        return f"ONNX Runtime {version} was built without CUDA; {provider.remedy}"
    try:
        with quiet(onnxruntime):
            if device.kind == "cuda":
                _load_cuda(onnxruntime, device.index)
            session = start_session(_GRAPH, device, SessionDials(threads=1, is_strict=True))
            is_right = session.run(None, {"x": _X})[0].item() == _Y
    except BackendError as error:
        return with_mend(str(error))
    except Exception as error:  # ONNX Runtime's exceptions share no other parent
        return with_mend(
            f"{device} does not start in ONNX Runtime {onnxruntime.__version__} "
            f"({first_line(error).replace('; ', ', ')})"
        )
    return None if is_right else f"{device} computes wrong values; {_LAST_MEND}"


def with_mend(reason: str) -> str:
    """The reason and, behind a semicolon, what mends it, if it does not say that itself."""
    if "; " in reason:
        return reason
    mends = (mend for pattern, mend in _MENDS if re.search(pattern, reason))
    return f"{reason}; {next(mends, _LAST_MEND)}"


def _load_cuda(onnxruntime: ModuleType, index: int) -> None:
    """Loads what the CUDA provider needs: ONNX Runtime itself only logs what is missing."""
    gpu = find_gpu(CudaDriver.load(), index)
    onnxruntime.preload_dlls()  # finds pip's CUDA libraries
    library = cuda_library(onnxruntime)
    if library is None:
        return
    try:
        # The provider takes its host's functions from the first, which must be global.
        ctypes.CDLL(
            str(library.with_name("libonnxruntime_providers_shared.so")), ctypes.RTLD_GLOBAL
        )
        _load_library(str(library))
        with suppress(OSError):  # newer providers look for it only when a session starts
            _load_library(_CUDNN)
    except OSError as error:
        raise BackendError(
            f"the CUDA provider of ONNX Runtime {onnxruntime.__version__} does not load: {error}"
        ) from error
    codes, ptx = architectures(library)
    if codes | ptx and not runs_on(gpu.sm, codes, ptx):
        known = ", ".join(f"sm_{sm}" for sm in sorted(codes))
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} has kernels for {known} and none for sm_"
            f"{gpu.sm}; install one built for it, or use device tensorrt"
        )


def _load_library(path: str) -> None:
    """Loads a library, and before it those of pip's NVIDIA packages that it lacks.

    Raises:
        OSError: if one is in none of them.
    """
    lacked = None
    while True:
        try:
            ctypes.CDLL(path)
            return
        except OSError as error:
            match = re.match(r"([^:/]+): cannot open shared object file", str(error))
            found = match and packaged(match[1])
            if match is None or found is None or match[1] == lacked:
                raise
            lacked = match[1]
        _load_library(str(found))


def packaged(name: str) -> Path | None:
    """A library in one of pip's NVIDIA packages, wherever they are installed.

    ONNX Runtime itself looks only beside itself; an environment may see those of another.
    """
    spec = find_spec("nvidia")
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((path for folder in folders for path in Path(folder).glob(f"*/lib/{name}")), None)


def cuda_library(onnxruntime: ModuleType) -> Path | None:
    """The CUDA provider of an installed ONNX Runtime, where it lies in a file of its own."""
    if sys.platform != "linux":
        return None
    path = Path(str(onnxruntime.__file__)).parent / "capi" / "libonnxruntime_providers_cuda.so"
    return path if path.is_file() else None
