"""A bundle to TensorRT engines: those that fit already stay, all others are built."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from echoes_export.graphs.nodes import signature_of
from echoes_export.tensorrt.builder import Job
from echoes_export.tensorrt.bundle import write_engine_bundle
from echoes_export.tensorrt.qdq_graph import Scales
from echoes_rt.bundle import Bundle
from echoes_rt.decode.plan import make_plan
from echoes_rt.errors import BackendError
from echoes_rt.format.engine_file import (
    EngineFile,
    EngineKey,
    file_sha256,
    model_sha256,
    record_path,
)
from echoes_rt.format.graphs import BATCH, DRAWN, FRAMES, STEPS, GraphSpec
from echoes_rt.install import install_line
from echoes_rt.nvidia.cuda_driver import CudaDriver
from echoes_rt.nvidia.engines import MODULES, import_tensorrt
from echoes_rt.nvidia.gpu import find_gpu
from echoes_rt.nvidia.system import driver_release, l4t_release

Ranges = dict[str, tuple[int, int, int]]
Tell = Callable[[str], None]

_MIN_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class Target:
    """What engines are built by and for; the fields are those of ``EngineKey``."""

    flavour: str
    version: str
    sm: int
    driver: str | None = None
    l4t: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to build.

    Attributes:
        graphs: names of docs/format.md.
        precision: fp32, fp16 or int8.
        ranges: ``free_ranges``.
        scales: for int8.
        calibration_sha256: of the pictures behind ``scales``.
    """

    graphs: tuple[str, ...]
    precision: str
    ranges: Ranges
    scales: Scales | None = None
    calibration_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Built:
    """An engine that is there; ``cpu_s`` is None where it was there before."""

    path: Path
    record: EngineFile
    cpu_s: float | None


def make_targets(flavour: str, sms: tuple[int, ...]) -> list[Target]:
    """One for every architecture; TensorRT's own builder knows that of the machine alone.

    Raises:
        BackendError: if the library cannot be imported, or the machine has no such GPU.
    """
    try:
        version = import_tensorrt(flavour).__version__
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(
            f"{MODULES[flavour]} cannot be imported: {error}; {_hint(flavour)}"
        ) from error
    if flavour == "rtx" and sms:
        return [Target(flavour=flavour, version=version, sm=sm) for sm in sms]
    here = find_gpu(CudaDriver.load(), 0).sm
    if any(sm != here for sm in sms):
        raise BackendError(
            f"{MODULES[flavour]} builds for the GPU of this machine, sm {here}, got "
            f"{', '.join(map(str, sms))}; leave --sm out, or use --backend rtx"
        )
    if flavour == "rtx":
        return [Target(flavour=flavour, version=version, sm=here)]
    driver, l4t = driver_release(), l4t_release()
    return [Target(flavour=flavour, version=version, sm=here, driver=driver, l4t=l4t)]


def _hint(flavour: str) -> str:
    if flavour == "rtx":
        return install_line("rtx")
    return (
        "it comes with JetPack; make the environment with --system-site-packages, or use "
        "--backend rtx on a PC"
    )


def free_ranges(bundle: Bundle, max_batch: int, max_steps: int) -> Ranges:
    """Least, usual and largest size of every free dimension of a graph's inputs."""
    frames = bundle.manifest.mel.n_frames
    return {
        BATCH: (1, 1, max_batch),
        DRAWN: (1, *_drawn(bundle)),
        STEPS: (1, min(bundle.manifest.sampling.steps, max_steps), max_steps),
        FRAMES: (min(_MIN_FRAMES, frames), frames, 4 * frames),
    }


def _drawn(bundle: Bundle) -> tuple[int, int]:
    """How many tokens a step draws: of a whole sound, and at most."""
    layout, sampling = bundle.manifest.tokens, bundle.manifest.sampling
    unknown = np.ones((1, layout.audio.n_tokens), dtype=np.bool_)
    usual = make_plan(unknown, layout.audio.order, sampling).positions.shape[2]
    return usual, max(grid.n_tokens for grid in layout.grids.values())


def build_engines(
    bundle: Bundle, out: Path, plan: Plan, targets: list[Target], tell: Tell
) -> Iterator[Built]:
    """Builds what ``out`` lacks or has for another model, library, machine or size.

    Gives those that fit first, then each as soon as it is there.

    Args:
        bundle: of fp32 or fp16 weights.
        out: the folder for the engines.
        plan: what to build.
        targets: for what.
        tell: is given a line now and then.

    Raises:
        BackendError: if TensorRT refuses a graph, or its builder dies.
        BundleError: if the bundle lacks a graph.
    """
    model = model_sha256(bundle.manifest.files.values())
    keys = [
        EngineKey(graph=graph, precision=plan.precision, model_sha256=model, **vars(target))
        for graph in plan.graphs
        for target in targets
    ]
    left = []
    for key in keys:
        kept = _fitting(bundle, out, key, plan, tell)
        if kept is None:
            left.append(key)
        else:
            yield kept
    if not left:
        return
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".engine.", dir=out) as work:
        names = dict.fromkeys(key.graph for key in left)
        write_engine_bundle(bundle, Path(work), names, plan.precision, plan.scales)
        for key in left:
            tell(f"building {key.file_name}")
            yield _build(bundle, out, Path(work), key, plan, tell)


def _fitting(bundle: Bundle, out: Path, key: EngineKey, plan: Plan, tell: Tell) -> Built | None:
    """The engine of ``key`` if it is there and need not be built again."""
    path = out / key.file_name
    if not path.exists() and not record_path(path).exists():
        return None
    try:
        record = EngineFile.read(path)
        record.check(path, key)
    except BackendError as error:
        tell(str(error))
        return None
    if record.ranges != {dim: plan.ranges.get(dim) for dim in record.ranges}:
        tell(f"engine {path} was built for other sizes of batch or steps")
        return None
    if record.calibration_sha256 != plan.calibration_sha256:
        tell(f"engine {path} was measured on other pictures")
        return None
    return Built(path=path, record=record, cpu_s=None)


def _build(bundle: Bundle, out: Path, work: Path, key: EngineKey, plan: Plan, tell: Tell) -> Built:
    model = onnx.load(work / f"{key.graph}.onnx", load_external_data=False)
    signature = signature_of(model)
    partial = work / key.file_name
    job = Job(
        flavour=key.flavour,
        model=str(work / f"{key.graph}.onnx"),
        engine=str(partial),
        sm=key.sm,
        shapes=_shapes(signature, plan.ranges),
        timing_cache=str(out / f"timing.{key.flavour}.{key.version}.sm{key.sm}.cache"),
    )
    started, cpu = time.perf_counter(), _children_cpu_s()
    _run(job, key, tell)
    record = EngineFile(
        key=key,
        engine_sha256=file_sha256(partial),
        inputs=signature.inputs,
        outputs=signature.outputs,
        ranges=_ranges_of(signature, plan.ranges),
        calibration_sha256=plan.calibration_sha256,
        build_s=round(time.perf_counter() - started, 1),
    )
    path = out / key.file_name
    record_path(path).unlink(missing_ok=True)  # no engine ever lies beside another one's record
    partial.replace(path)
    record.write(path)
    return Built(path=path, record=record, cpu_s=_children_cpu_s() - cpu)


def _run(job: Job, key: EngineKey, tell: Tell) -> None:
    """The builder in a process of its own, since there are graphs that it crashes on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "echoes_export.tensorrt.builder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    news: dict[str, object] = {}
    with process:
        process.stdin.write(job.to_json())
        process.stdin.close()
        for line in _json_lines(process.stdout):
            if "phase" in line and line != news:
                tell(f"{key.file_name}: {line['phase']}")
            news = line
    if "layers" in news and process.returncode == 0:
        return
    reason = news.get("error") or _death(process.returncode)
    raise BackendError(f"{key.file_name} cannot be built: {reason}")


def _json_lines(lines: Iterable[str]) -> Iterator[dict[str, object]]:
    """TensorRT may print lines of its own."""
    for line in lines:
        if line.startswith("{"):
            yield json.loads(line)


def _death(status: int) -> str:
    if status < 0:
        return f"TensorRT's builder crashed with {signal.Signals(-status).name}"
    return f"TensorRT's builder ended with status {status} and said nothing"


def _ranges_of(signature: GraphSpec, ranges: Ranges) -> Ranges:
    free = {dim for spec in signature.inputs.values() for dim in spec.shape if isinstance(dim, str)}
    return {dim: sizes for dim, sizes in ranges.items() if dim in free}


def _shapes(
    signature: GraphSpec, ranges: Ranges
) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Smallest, usual and largest shape of every input."""

    def shape(dims: tuple[int | str, ...], which: int) -> list[int]:
        return [ranges[dim][which] if isinstance(dim, str) else dim for dim in dims]

    return {
        name: (shape(spec.shape, 0), shape(spec.shape, 1), shape(spec.shape, 2))
        for name, spec in signature.inputs.items()
    }


def _children_cpu_s() -> float:
    used = os.times()
    return used.children_user + used.children_system
