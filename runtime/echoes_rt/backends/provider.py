"""The execution providers of ONNX Runtime that a device stands for, and how they are asked for."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from echoes_rt.backends.device import Device
from echoes_rt.errors import BackendError
from echoes_rt.install import install_line

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An execution provider.

    Attributes:
        name: as ONNX Runtime calls it.
        package: the module that brings it to an ONNX Runtime without it; None: none does.
        extra: of echoes-rt, that brings it; None: none does.
        hint: what to do where it is missing, after installing the extra.
    """

    name: str
    package: str | None
    extra: str | None = None
    hint: str

    @property
    def remedy(self) -> str:
        return self.hint if self.extra is None else f"{install_line(self.extra)} {self.hint}"


PROVIDERS = {
    "cuda": Provider(
        name=CUDA_PROVIDER,
        package=None,
        extra="gpu",
        hint="in an environment without onnxruntime; on a Jetson use device tensorrt",
    ),
    "openvino": Provider(
        name="OpenVINOExecutionProvider",
        package="onnxruntime_ep_openvino",
        hint="pip install onnxruntime-ep-openvino, beside onnxruntime 1.24 or newer",
    ),
    "webgpu": Provider(
        name="WebGpuExecutionProvider",
        package="onnxruntime_ep_webgpu",
        hint="pip install onnxruntime-ep-webgpu, beside onnxruntime 1.24 or newer",
    ),
}
"""By the kind of device."""

# Convolutions are searched for by a rule, not by trying all, which takes seconds at each start.
# Products stay float32: with TF32 tokens would differ from the CPU's. Memory grows by what is used.
_CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",
    "arena_extend_strategy": "kSameAsRequested",
}


def add_provider(
    onnxruntime: ModuleType, options: Any, device: Device, **dials: str
) -> list[tuple[str, dict[str, str]]] | None:
    """Makes a session with these ``options`` run on ``device``.

    Args:
        onnxruntime: the module.
        options: SessionOptions, to which plugins are added.
        device: not the CPU.
        dials: options of the provider.

    Returns:
        The session's ``providers``; None if ``options`` say it all.

    Raises:
        BackendError: if the provider is missing or has no such device.
    """
    provider = PROVIDERS[device.kind]
    if device.kind == "cuda":
        dials = {**_CUDA_OPTIONS, "device_id": str(device.index), **dials}
    # Whether built in or, in newer versions, a plugin that the package registers by itself.
    if provider.name in onnxruntime.get_available_providers():
        return [(provider.name, dials)]
    register_plugin(onnxruntime, provider)
    found = [part for part in onnxruntime.get_ep_devices() if part.ep_name == provider.name]
    if device.index >= len(found):
        raise BackendError(
            f"{provider.name} finds {len(found)} devices of its own on this machine; use another "
            "device"
        )
    options.add_provider_for_devices([found[device.index]], dials)
    return None


def register_plugin(onnxruntime: ModuleType, provider: Provider) -> None:
    """Loads the package that brings the provider.

    Raises:
        BackendError: if there is none, or it does not load.
    """
    version = onnxruntime.__version__
    if provider.package is None or not hasattr(onnxruntime, "get_ep_devices"):
        raise BackendError(f"ONNX Runtime {version} was built without {provider.name}")
    if any(part.ep_name == provider.name for part in onnxruntime.get_ep_devices()):
        return
    try:
        package = importlib.import_module(provider.package)
    except ImportError as error:
        raise BackendError(
            f"ONNX Runtime {version} was built without {provider.name}, and the package "
            f"{provider.package} is missing; {provider.remedy}"
        ) from error
    library = Path(package.get_library_path())
    try:
        onnxruntime.register_execution_provider_library(provider.name, str(library))
    except Exception as error:  # ONNX Runtime's exceptions share no other parent
        if "already registered" not in str(error):
            # The rest of the message is the library's path, once more.
            said = str(error).split("with error: ")[-1]
            raise BackendError(f"{library.name} does not load: {said}") from error
