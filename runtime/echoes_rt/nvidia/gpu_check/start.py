"""A device to check; for TensorRT with engines built on the spot where the bundle has none."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from echoes_rt.bundle import Bundle
from echoes_rt.errors import BackendError, EchoesError
from echoes_rt.format.manifest import MANIFEST_NAME
from echoes_rt.model import Model
from echoes_rt.nvidia.cuda_driver import CudaDriver
from echoes_rt.nvidia.engines import installed
from echoes_rt.nvidia.gpu import find_gpu
from echoes_rt.nvidia.gpu_check import FAILED, PASSED, SKIPPED, Outcome, Say

GRAPHS = ("image_encoder", "context_image", "decode_audio", "mel_decoder", "vocoder")
"""What is built: all that a picture's sound needs."""

# TensorRT-RTX lacks for it what the vocoder's inverse DFT and the picture encoder take.
_LACKING = {("rtx", 75): ("image_encoder", "vocoder")}

_MODULES = ("echoes_export", "onnx")
"""What building takes; a process of its own imports them, never the runtime."""


def start_device(
    bundle: Bundle, device: str, work: Path | None, say: Say
) -> tuple[Model | None, list[Outcome]]:
    """The bundle on a device, or None, and what there is to report of that.

    Args:
        bundle: whose own engines are taken where they fit.
        device: as ``parse_device`` reads it.
        work: an empty folder for engines that are built; None: none are.
        say: is given a line now and then.
    """
    try:
        return Model.load(bundle, device=device), []
    except EchoesError as error:
        said = str(error)
    builder = _builder() if device == "tensorrt" and work is not None else None
    if builder is not None and work is not None:
        missing = [name for name in _MODULES if find_spec(name) is None]
        if not missing:
            return _start_built(bundle, builder, work, say)
        said += (
            f"; gpu-check builds it by itself where {' and '.join(missing)} can be imported: "
            'pip install ".[cpu,engine]"'
        )
    return None, [Outcome(check="all", device=device, status=SKIPPED, said=said)]


def _builder() -> tuple[str, int] | None:
    """The TensorRT that builds here, and for what; None where it or the GPU is missing."""
    try:
        sm = find_gpu(CudaDriver.load(), 0).sm
    except BackendError:
        return None
    return next(((flavour, sm) for flavour, _ in installed()), None)


def _start_built(
    bundle: Bundle, builder: tuple[str, int], work: Path, say: Say
) -> tuple[Model | None, list[Outcome]]:
    graphs = tuple(name for name in GRAPHS if name not in _LACKING.get(builder, ()))
    outcomes = []
    try:
        copy = _copied(bundle, work)
        last = _build(copy, builder[0], graphs, say)
        status = PASSED if last is None else FAILED
        said = ", ".join(graphs) if last is None else last
        outcomes.append(Outcome(check="build", device="tensorrt", status=status, said=said))
        # Also where only some were built: what there is can be checked.
        return Model.load(copy, device="tensorrt"), outcomes
    except (EchoesError, OSError) as error:
        if not any(outcome.status == FAILED for outcome in outcomes):
            said = " ".join(str(error).split())
            outcomes.append(Outcome(check="build", device="tensorrt", status=FAILED, said=said))
        return None, outcomes


def _copied(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle without its engines, which do not fit."""
    for name in (MANIFEST_NAME, *(part.file for part in bundle.manifest.files.values())):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / name, target)
    return Bundle(source=folder, folder=folder, manifest=bundle.manifest)


def _build(bundle: Bundle, flavour: str, graphs: tuple[str, ...], say: Say) -> str | None:
    """What went wrong; the runtime may not import the export tools, so it calls them."""
    command = [sys.executable, "-m", "echoes_export.cli", "engine", str(bundle.folder)]
    command += ["--backend", flavour, *(word for name in graphs for word in ("--graph", name))]
    last = "it said nothing"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in filter(None, map(str.strip, process.stdout)):
            say(line)
            last = line
    return last if process.returncode else None
