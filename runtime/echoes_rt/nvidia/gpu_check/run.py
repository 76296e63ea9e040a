"""All checks on all devices of this machine."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from echoes_rt.backends.provider import CPU_PROVIDER
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BackendError, EchoesError
from echoes_rt.format.manifest import MANIFEST_NAME
from echoes_rt.model import Model
from echoes_rt.nvidia.cuda_driver import CudaDriver
from echoes_rt.nvidia.engines import installed
from echoes_rt.nvidia.gpu import find_gpu
from echoes_rt.nvidia.gpu_check import FAILED, PASSED, SKIPPED, Outcome, Say
from echoes_rt.nvidia.gpu_check.checks import check_parity, check_soak
from echoes_rt.profile.report import Profile, Subject, make_profiles
from echoes_rt.profile.stages import TOTAL, Question
from echoes_rt.profile.table import profile_text

DEVICES = ("cuda", "tensorrt", "webgpu")

GRAPHS = ("image_encoder", "context_image", "decode_audio", "mel_decoder", "vocoder")
"""What is built: all that a picture's sound needs."""

# TensorRT-RTX lacks for it what the vocoder's inverse DFT and the picture encoder take.
_LACKING = {("rtx", 75): ("image_encoder", "vocoder")}

_BUILDING = ("echoes_export", "onnx")
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
        missing = [name for name in _BUILDING if find_spec(name) is None]
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


def run_checks(
    bundle: Bundle, seconds: float, runs: int, say: Say, *, is_building: bool
) -> Iterator[Outcome]:
    """Every check of every device that starts; for the others one outcome says why not.

    Args:
        bundle: to run.
        seconds: of each soak.
        runs: of each profile.
        say: is given a line now and then.
        is_building: whether TensorRT engines are built where ``bundle`` has none that fit.
    """
    cpu = Model.load(bundle, device="cpu")
    with TemporaryDirectory(prefix="echoes-rt-") as work:
        for device in DEVICES:
            model, outcomes = start_device(bundle, device, Path(work) if is_building else None, say)
            yield from outcomes
            if model is not None:
                say(f"{model.choice.device}: {model.choice.reason}")
                yield from check_device(cpu, model, seconds, runs, say)
    yield _guarded("peers", "-", lambda: check_peers(bundle.folder, runs))


def check_device(
    cpu: Model, model: Model, seconds: float, runs: int, say: Say
) -> Iterator[Outcome]:
    """Every check of one device; the same as the tests marked ``gpu``."""
    device = model.choice.device
    yield _guarded("parity", device, lambda: check_parity(cpu, model))
    yield _guarded("soak", device, lambda: check_soak(model, seconds))
    yield _guarded("profile", device, lambda: check_profile(model, runs, say))


def check_profile(model: Model, runs: int, say: Say) -> Outcome:
    """What ``echoes-rt profile`` finds; fails if graphs of a GPU were left to the CPU."""
    with TemporaryDirectory(prefix="echoes-rt-") as folder:
        question = Question(
            out=Path(folder) / "out.wav",
            sampling=model.sampling(model.manifest.tokens.audio.n_tokens),
        )
        subject = Subject(label=model.choice.device, model=model, question=question, threads=None)
        (profile,) = make_profiles([subject], runs, say)
    return _profile_outcome(profile, runs)


def _profile_outcome(profile: Profile, runs: int) -> Outcome:
    model = profile.subject.model
    # Shapes and indices may stay on the host. Graphs without a model run where the choice says.
    lost = [
        graph
        for graph, work in profile.graphs.items()
        if model.choice.device_of(graph) != "cpu" and work.providers.keys() <= {CPU_PROVIDER}
    ]
    total = profile.stages[TOTAL]
    said = f"{total.p50:.1f} ms p50, {total.p95:.1f} ms p95, picture to sound"
    if lost:
        said += f"; ran on the CPU: {', '.join(lost)}"
    for graph, why in model.unrecorded().items():
        said += f"; {graph} is not recorded as a CUDA graph ({why})"
    return Outcome(
        check="profile",
        device=model.choice.device,
        status=FAILED if lost else PASSED,
        said=said,
        figures=profile.to_dict(1.0) | {"text": profile_text(profile, 1.0, runs)},
    )


def _guarded(check: str, device: str, run: Callable[[], Outcome]) -> Outcome:
    """What goes wrong in one check must not keep the others from being run."""
    try:
        return run()
    except Exception as error:  # a report of any failure is what this is for
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Outcome(check=check, device=device, status=FAILED, said=said)


_MODULE = "bench.gpu_peers"
_TIMEOUT_S = 1800

# What a machine may lack; a module of ours that is missing is a mistake of ours.
_LACKS = re.compile(r"No module named (?!'?(?:echoes_|bench\.))|finds no CUDA device")


def check_peers(bundle: Path, runs: int) -> Outcome:
    """``bench.gpu_peers`` of the repository; skipped without it, PyTorch or a GPU for it."""
    done = subprocess.run(
        [sys.executable, "-m", _MODULE, str(bundle), "--runs", str(runs)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        status = SKIPPED if _LACKS.search(said) else FAILED
        return Outcome(check="peers", device="-", status=status, said=said)
    results = json.loads(done.stdout.strip().splitlines()[-1])
    times = [
        f"{r['name']} {r['total_ms']:.1f} ms" if r["total_ms"] else f"{r['name']}: {r['failure']}"
        for r in results
    ]
    figures: dict[str, object] = {"results": results}
    return Outcome(check="peers", device="-", status=PASSED, said="; ".join(times), figures=figures)
