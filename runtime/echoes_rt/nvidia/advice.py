"""The traps of NVIDIA's that a machine sits in, each with what mends it."""

import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from echoes_rt.backends.probe import cuda_library
from echoes_rt.nvidia.gpu import GpuInfo
from echoes_rt.nvidia.system import runs_on

_SYSTEM_TENSORRT = Path("/usr/lib/python3/dist-packages/tensorrt")
_TOOLKIT = Path("/usr/local/cuda")
_MEMORY = Path("/proc/meminfo")
_FULL_POWER = "MAXN"

# pip's releases from the one on, before the other: NVIDIA's support matrices.
_NOT_FOR_JETPACK = ((11, 0, 0), (11, 4, 1))

_BUILDING_MB = 4000
"""Twice what TensorRT-RTX takes for base (docs/gpu.md): TensorRT also tries kernels, and on a
Jetson in the same memory."""

Report = Mapping[str, Any]


def give_advice(
    report: Report,
    gpus: list[GpuInfo],
    onnxruntime: ModuleType | None,
    kernels: tuple[set[int], set[int]],
) -> list[str]:
    """A sentence for each trap.

    Args:
        report: what ``doctor_gpu`` found.
        gpus: the driver's.
        onnxruntime: the module.
        kernels: the architectures of its machine code, and of its PTX.
    """
    advice = [*_onnxruntime(report, gpus, onnxruntime, kernels)]
    if not gpus and any(Path("/dev").glob("nvidia[0-9]*")):
        advice.append(
            "there is a GPU without a driver's library: in a container, start it with --gpus all, "
            "on a Jetson with --runtime nvidia"
        )
    free_mb = _free_memory_mb()
    if gpus and free_mb is not None and free_mb < _BUILDING_MB:
        advice.append(
            f"{free_mb:.0f} MB of memory and swap are free, and building TensorRT engines may take "
            f"{_BUILDING_MB}: close the desktop (sudo systemctl isolate multi-user.target), or add "
            "swap"
        )
    if report["jetson_linux"] is not None:
        advice += [*_tensorrt(report), *_board(report)]
    return advice


def _onnxruntime(
    report: Report,
    gpus: list[GpuInfo],
    onnxruntime: ModuleType | None,
    kernels: tuple[set[int], set[int]],
) -> Iterator[str]:
    if all(_version(name) for name in ("onnxruntime", "onnxruntime-gpu")):
        yield (
            "onnxruntime and onnxruntime-gpu overwrite each other's files: uninstall both, then "
            "install one"
        )
    codes, ptx = kernels
    for gpu in gpus:
        if codes | ptx and not runs_on(gpu.sm, codes, ptx):
            yield (
                f"this onnxruntime-gpu has no kernels for sm_{gpu.sm} ({gpu.name}): use device "
                "tensorrt, or an ONNX Runtime built for it; device cpu works"
            )
    wants = str(getattr(onnxruntime, "cuda_version", "") or "")
    if gpus and wants and _major(wants) > _major(gpus[0].driver):
        yield (
            f"this onnxruntime-gpu is for CUDA {wants}, the driver for up to {gpus[0].driver}: "
            "update the driver, or install an older onnxruntime-gpu"
        )
    has_cuda = onnxruntime is not None and cuda_library(onnxruntime) is not None
    if gpus and has_cuda and report["cudnn"] is None:
        mend = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
        if report["jetson_linux"] is not None:
            mend = "sudo apt install nvidia-jetpack"
        yield f"onnxruntime-gpu finds no cuDNN, which convolutions need: {mend}"


def _tensorrt(report: Report) -> Iterator[str]:
    """Of a Jetson, where TensorRT is JetPack's; TensorRT-RTX knows no Jetson."""
    said = str(report["tensorrt"]["tensorrt"])
    is_loaded = said[:1].isdigit()
    version = said if is_loaded else _version("tensorrt") or ""
    first, mended = _NOT_FOR_JETPACK
    if first <= _release(version) < mended:
        yield (
            f"TensorRT {version} is pip's, and 11.0 to 11.4.0 do not support JetPack: pip "
            "uninstall tensorrt, and use JetPack's"
        )
    elif not is_loaded and _SYSTEM_TENSORRT.exists():
        yield (
            f"JetPack's TensorRT lies in {_SYSTEM_TENSORRT.parent}, which this environment does "
            "not see: make it with python3 -m venv --system-site-packages"
        )
    elif not is_loaded:
        yield "JetPack's TensorRT is missing: sudo apt install python3-libnvinfer"


def _board(report: Report) -> Iterator[str]:
    if report["cuda"] is None and _TOOLKIT.is_dir():
        yield (
            f"CUDA lies in {_TOOLKIT} and is not found: export LD_LIBRARY_PATH={_TOOLKIT}/lib64 "
            f"PATH=$PATH:{_TOOLKIT}/bin"
        )
    mode, clocks = str(report["power_mode"] or ""), report["clocks_mhz"]
    if mode and not mode.startswith(_FULL_POWER):
        yield (
            f"the power mode is {mode}: sudo nvpmodel -m with the number that /etc/nvpmodel.conf "
            "gives MAXN or MAXN_SUPER takes all cores and clocks"
        )
    if isinstance(clocks, list) and clocks[0] < clocks[1]:
        yield "the GPU's clock is below its highest: sudo jetson_clocks before timing"


def _free_memory_mb() -> float | None:
    """Of memory and swap; None where the system does not tell."""
    try:
        text = _MEMORY.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.findall(r"^(?:MemAvailable|SwapFree): *(\d+) kB$", text, re.MULTILINE)
    return sum(map(int, found)) * 1024 / 1e6 if found else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _major(version: str) -> int:
    return int(version.split(".")[0])
