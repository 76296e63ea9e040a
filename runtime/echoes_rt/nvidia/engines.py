"""The TensorRT engines of a bundle that fit this machine."""

import importlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from echoes_rt.bundle import Bundle
from echoes_rt.errors import BackendError
from echoes_rt.format.engine_file import (
    ENGINES_FOLDER,
    PRECISIONS,
    EngineFile,
    EngineKey,
    model_sha256,
)
from echoes_rt.nvidia.cuda_driver import CudaDriver
from echoes_rt.nvidia.gpu import GpuInfo, find_gpu
from echoes_rt.nvidia.system import driver_release, l4t_release

logger = logging.getLogger(__name__)

MODULES = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
"""Python's name of each flavour's library."""

LOOPS = ("decode_audio", "decode_image")
"""Without an engine of either, TensorRT has nothing to do that is worth it."""

# int8 changes what is heard, so it is taken only where there is nothing else.
_PREFERENCE = ("fp16", "fp32", "int8")
assert set(_PREFERENCE) == set(PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class FoundEngine:
    """An engine that runs here; ``record`` has been checked against the machine."""

    path: Path
    record: EngineFile

    @property
    def text(self) -> str:
        key = self.record.key
        return f"{key.graph} {key.precision} by {MODULES[key.flavour]} {key.version}"


def find_engines(bundle: Bundle, index: int = 0) -> dict[str, FoundEngine]:
    """By the name of their graph, for the GPU of that index.

    Raises:
        BackendError: naming the first thing that is missing: driver, GPU, library or engine.
    """
    gpu = find_gpu(CudaDriver.load(), index)
    versions = {name: module.__version__ for name, module in installed()}
    if not versions:
        raise BackendError(
            "neither tensorrt nor tensorrt_rtx can be imported; on a Jetson make the environment "
            "with --system-site-packages, elsewhere pip install tensorrt-rtx"
        )
    found: dict[str, FoundEngine] = {}
    refusals: list[str] = []
    for path in _candidates(bundle):
        try:
            record = EngineFile.read(path)
            if record.key.graph not in found:  # checking a large file takes a while
                found[record.key.graph] = _fitting(bundle, path, record, gpu, versions)
        except BackendError as error:
            refusals.append(str(error))
    if not found.keys() & set(LOOPS):
        if refusals:
            raise BackendError(refusals[0])
        raise BackendError(
            f"bundle {bundle.manifest.name} has no TensorRT engine of {LOOPS[0]} in "
            f"{bundle.folder / ENGINES_FOLDER}; build one with echoes-export engine"
        )
    return found


def import_tensorrt(flavour: str) -> ModuleType:
    """Raises ImportError, or OSError where a library of it is missing."""
    return importlib.import_module(MODULES[flavour])


def make_log(library: ModuleType) -> Any:
    """A logger of TensorRT, which says why it failed in its log alone: ``errors`` keeps that."""

    class Log(library.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (library.ILogger.INTERNAL_ERROR, library.ILogger.ERROR):
                self.errors.append(" ".join(message.split()))
            elif severity == library.ILogger.WARNING:
                logger.info("TensorRT: %s", message)

    return Log()


def installed() -> Iterator[tuple[str, ModuleType]]:
    """The flavours whose library can be imported."""
    for flavour in MODULES:
        try:
            yield flavour, import_tensorrt(flavour)
        # The packages raise RuntimeError, too, where a library is missing.
        except (ImportError, OSError, RuntimeError):
            continue


def _candidates(bundle: Bundle) -> list[Path]:
    """The preferred precision first; of equals TensorRT's own, which was tuned on the spot."""
    paths = (bundle.folder / ENGINES_FOLDER).glob("*.engine")

    def order(path: Path) -> tuple[int, int, str]:
        parts = path.name.split(".")
        precision = next((i for i, name in enumerate(_PREFERENCE) if name in parts), len(parts))
        return precision, "tensorrt" not in parts, path.name

    return sorted(paths, key=order)


def _fitting(
    bundle: Bundle, path: Path, record: EngineFile, gpu: GpuInfo, versions: dict[str, str]
) -> FoundEngine:
    flavour = record.key.flavour
    if flavour not in versions:
        raise BackendError(
            f"engine {path} needs {MODULES.get(flavour, flavour)}, which cannot be imported; "
            "install it, or build the engine with what is installed"
        )
    wanted = EngineKey(
        graph=record.key.graph,
        flavour=flavour,
        version=versions[flavour],
        sm=gpu.sm,
        precision=record.key.precision,
        model_sha256=model_sha256(bundle.manifest.files.values()),
        driver=driver_release(),
        l4t=l4t_release(),
    )
    record.check(path, wanted)
    return FoundEngine(path=path, record=record)
