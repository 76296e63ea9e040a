"""What this machine has, and whether a sound can be made on it."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import echoes_rt
from echoes_rt.backends.device import Device
from echoes_rt.backends.probe import missing_provider
from echoes_rt.backends.provider import CUDA_PROVIDER
from echoes_rt.backends.select import choose_device
from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.bundle import BUNDLE_VARIABLE, find_bundle
from echoes_rt.errors import EchoesError

_PACKAGES = ("numpy", "opencv-python-headless", "soundfile", "soxr", "click")


def examine() -> dict[str, object]:
    """A report that JSON can hold; ``problems`` is empty if a sound can be made here."""
    problems: list[str] = []
    return {
        "echoes_rt": echoes_rt.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "os": platform.platform(),
        "cpu": f"{cpu_name()}, {os.cpu_count()} logical cores",
        "packages": {name: _version(name) for name in _PACKAGES},
        "onnxruntime": _examine_onnxruntime(problems),
        "bundle": _examine_bundle(problems),
        "problems": problems,
    }


def _examine_onnxruntime(problems: list[str]) -> dict[str, object]:
    try:
        onnxruntime = import_onnxruntime()
    except EchoesError as error:
        problems.append(str(error))
        return {"version": None}
    listed = list(onnxruntime.get_available_providers())
    # Only those that a device of ours can ask for are tried.
    starts: dict[str, str] = {"CPUExecutionProvider": "starts"}
    if CUDA_PROVIDER in listed:
        starts[CUDA_PROVIDER] = str(missing_provider(Device(kind="cuda")) or "starts")
    choice = choose_device("auto")
    return {
        "version": onnxruntime.__version__,
        "providers": {name: starts.get(name, "not used by echoes-rt") for name in listed},
        "device": choice.device,
        "reason": choice.reason,
    }


def _examine_bundle(problems: list[str]) -> dict[str, object]:
    try:
        bundle = find_bundle()
    except EchoesError as error:
        problems.append(str(error))
        return {"name": None}
    origin = BUNDLE_VARIABLE if os.environ.get(BUNDLE_VARIABLE) else "default"
    return {"name": bundle.manifest.name, "path": str(bundle.source), "origin": origin}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # OpenCV's four builds share one module.
        return _opencv_version() if package.startswith("opencv") else None


def _opencv_version() -> str:
    import cv2

    return cv2.__version__


def cpu_name() -> str:
    """Linux tells the name only in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
