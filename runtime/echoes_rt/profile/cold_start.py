"""From nothing to the first sound in a fresh process; also that process's program."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echoes_rt.errors import BackendError
from echoes_rt.io.leftovers import ScratchFolder

if TYPE_CHECKING:
    from echoes_rt.profile.report import Subject

Task = dict[str, Any]
"""What the process does, as JSON can hold it."""


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """One process, once; files may be in the system's cache.

    Attributes:
        python_ms: until the first line of our own.
        import_ms: the pipeline and its libraries.
        load_ms: the bundle, verified, and every graph that the sound needs.
        first_sound_ms: read, make and write it.
        total_ms: all of it, from before the process began until it had ended.
        memory_mb: resident after loading; None where the system does not tell.
        peak_memory_mb: the largest resident size.
    """

    python_ms: float
    import_ms: float
    load_ms: float
    first_sound_ms: float
    total_ms: float
    memory_mb: float | None
    peak_memory_mb: float | None


def cold_start(subject: "Subject") -> ColdStart:
    """Makes the subject's sound in a fresh process.

    Raises:
        BackendError: with the last line of what the process said, if it fails.
    """
    start = time.time()
    made = subprocess.run(
        [sys.executable, "-m", "echoes_rt.profile.cold_start", json.dumps(_task(subject))],
        capture_output=True,
        text=True,
        check=False,
    )
    total_ms = (time.time() - start) * 1000
    if made.returncode:
        said = (made.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BackendError(f"the process that measures the cold start failed: {said}")
    report = json.loads(made.stdout)
    began = report.pop("began")
    return ColdStart(python_ms=(began - start) * 1000, total_ms=total_ms, **report)


def _task(subject: "Subject") -> Task:
    from echoes_rt.options import options_of

    model, question = subject.model, subject.question
    bundle, choice = str(model.bundle.source.resolve()), model.choice
    return {
        "load": [bundle, choice.device, subject.threads, choice.precision],
        "picture": str(question.picture.resolve()),
        "options": {"seed": question.seed, **options_of(question.sampling)},
    }


def _run(task: Task, began: float) -> dict[str, float | None]:
    clock = [time.perf_counter()]

    def lap_ms() -> float:
        clock.append(time.perf_counter())
        return (clock[-1] - clock[-2]) * 1000

    from echoes_rt.pipeline import Echoes

    import_ms = lap_ms()
    echoes = Echoes.load(*task["load"])
    echoes.prepare("image_encoder", *echoes.decoding_graphs("audio"), "mel_decoder", "vocoder")
    load_ms, memory_mb = lap_ms(), _resident_mb()
    with ScratchFolder() as folder:
        sound = echoes.image_to_audio(task["picture"], **task["options"])
        sound.save(folder / "out.wav")
        first_sound_ms = lap_ms()
    return {
        "began": began,
        "import_ms": import_ms,
        "load_ms": load_ms,
        "first_sound_ms": first_sound_ms,
        "memory_mb": memory_mb,
        "peak_memory_mb": _peak_mb(),
    }


def _resident_mb() -> float | None:
    return _status_mb("VmRSS")


def _peak_mb() -> float | None:
    # Linux' ru_maxrss counts what the parent had when it made this process.
    peak = _status_mb("VmHWM")
    if peak is not None or sys.platform != "darwin":
        return peak
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _status_mb(key: str) -> float | None:
    """A size of this process as Linux tells it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(sizes[0]) * 1024 / 1e6 if sizes else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run(json.loads(sys.argv[1]), time.time())))
