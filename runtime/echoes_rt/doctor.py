"""What this machine has, and whether a sound can be made on it."""

import os
import platform
import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import echoes_rt
from echoes_rt.backends.device import Device
from echoes_rt.backends.precision import automatic
from echoes_rt.backends.probe import missing_provider
from echoes_rt.backends.provider import CPU_PROVIDER, PROVIDERS
from echoes_rt.backends.select import choose_device
from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.bundle import BUNDLE_VARIABLE, Bundle, find_bundle
from echoes_rt.cpu_limit import cpu_quota, thread_limit
from echoes_rt.errors import EchoesError
from echoes_rt.format.engine_file import ENGINES_FOLDER
from echoes_rt.nvidia.doctor import examine_gpu

_PACKAGES = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pillow": "PIL.Image",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "click": "click",
}
"""What is installed, and the module that it is."""


def examine() -> dict[str, object]:
    """A report that JSON can hold; ``problems`` is empty if a sound can be made here."""
    problems: list[str] = []
    packages = _examine_packages(problems)
    onnxruntime, runtime = _examine_onnxruntime(problems)
    bundle, opened = _examine_bundle(problems)
    choice = choose_device("auto", opened) if onnxruntime is not None else None
    precision: str | None = None
    why: str | None = None
    if choice is not None and opened is not None:
        precision, why = automatic(choice, opened)
    return {
        "echoes_rt": echoes_rt.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "os": platform.platform(),
        "cpu": _cpu_text(),
        "packages": packages,
        "onnxruntime": runtime,
        "nvidia": examine_gpu(onnxruntime),
        "device": choice.device if choice is not None else None,
        "reason": choice.reason if choice is not None else None,
        "auto_precision": precision,
        "precision_reason": why,
        "bundle": bundle,
        "problems": problems,
    }


def _examine_packages(problems: list[str]) -> dict[str, str | None]:
    """What is listed need not load, so each of them is imported."""
    versions: dict[str, str | None] = {}
    for name, module in _PACKAGES.items():
        try:
            imported = import_module(module)
        except (ImportError, OSError) as error:  # OSError: soundfile's, without libsndfile
            problems.append(
                f"{name} cannot be imported ({' '.join(str(error).split())}); "
                f"pip install --force-reinstall {name}"
            )
            imported = None
        versions[name] = _version(name, imported)
    return versions


def _examine_onnxruntime(problems: list[str]) -> tuple[ModuleType | None, dict[str, object]]:
    try:
        onnxruntime = import_onnxruntime()
    except EchoesError as error:
        problems.append(str(error))
        return None, {"version": None}
    listed = list(onnxruntime.get_available_providers())
    # What is listed need not start: each of ours computes something, with the CPU forbidden.
    states = {CPU_PROVIDER: "starts"}
    for kind, provider in PROVIDERS.items():
        is_there = provider.name in listed
        if provider.package is not None:
            is_there |= find_spec(provider.package) is not None
        if is_there:
            states[provider.name] = missing_provider(Device(kind=kind)) or "starts"
    for name in listed:
        states.setdefault(name, "not used by echoes-rt")
    return onnxruntime, {"version": onnxruntime.__version__, "providers": states}


def _examine_bundle(problems: list[str]) -> tuple[dict[str, object], Bundle | None]:
    try:
        bundle = find_bundle()
    except EchoesError as error:
        problems.append(str(error))
        return {"name": None}, None
    origin = BUNDLE_VARIABLE if os.environ.get(BUNDLE_VARIABLE) else "default"
    engines = sorted(path.name for path in (bundle.folder / ENGINES_FOLDER).glob("*.engine"))
    about = {"name": bundle.manifest.name, "path": str(bundle.source), "origin": origin}
    return about | {"engines": engines}, bundle


def _version(package: str, module: ModuleType | None) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # OpenCV's four builds share one module.
        return getattr(module, "__version__", None)


def _cpu_text() -> str:
    text = f"{cpu_name()}, {os.cpu_count()} logical cores"
    quota = cpu_quota()
    if quota is not None:
        text += f", a quota of {quota:g} CPUs"
    limit = thread_limit()
    return text if limit is None else f"{text}; threads by default: {limit}"


def cpu_name() -> str:
    """Linux tells the name only in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
