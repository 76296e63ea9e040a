"""How long an NVIDIA GPU works for a generation, and how long it waits for the host."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from echoes_rt.backends.base import WatchedSession
from echoes_rt.backends.session_start import SessionDials
from echoes_rt.model import Model
from echoes_rt.nvidia import system as nvidia_system
from echoes_rt.nvidia.gpu import EventClock, Gpu, nvtx_range
from echoes_rt.profile.stages import STAGE_OF, TOTAL, Question, generate

KINDS = ("cuda", "tensorrt")
"""Devices whose stream we own, and whose time can be taken by events in it."""

_WARM_UP = 2  # the first call of a shape allocates, the second may record a graph


@dataclass(kw_only=True)
class GraphTime:
    """All calls of one graph in one generation.

    Attributes:
        wall_ms: from the host's call to its return.
        device_ms: between two events in the GPU's stream, copies included.
        launches: pieces of work put into the stream: nodes, or recorded graphs and enqueues.
    """

    calls: int = 0
    wall_ms: float = 0.0
    device_ms: float = 0.0
    launches: int = 0


@dataclass(frozen=True, kw_only=True)
class GpuTime:
    """One generation as the GPU saw it.

    Attributes:
        graphs: those that ran on the GPU.
        total_ms: the whole generation, from reading the picture to the sound.
        memory_mb: taken by loading and running, of the GPU's.
        clocks_mhz: after the generation: now, and the highest.
    """

    name: str
    graphs: dict[str, GraphTime]
    total_ms: float
    memory_mb: float
    power_mode: str | None
    clocks_mhz: tuple[float, float] | None

    @property
    def device_ms(self) -> float:
        return sum(graph.device_ms for graph in self.graphs.values())

    @property
    def gap_ms(self) -> float:
        """Of the whole, the time in which the GPU had nothing to do."""
        return self.total_ms - self.device_ms

    def to_dict(self) -> dict[str, object]:
        return asdict(self) | {"device_ms": self.device_ms, "gap_ms": self.gap_ms}


def gpu_time(model: Model, question: Question) -> GpuTime | None:
    """Generates with a model of its own; None where the device is none of ``KINDS``."""
    if model.choice.kind not in KINDS:
        return None
    gpu = model.gpu()
    timer = _GpuTimer(gpu)
    timed = model.beside(timer)
    free_mb = gpu.free_memory_mb()
    with TemporaryDirectory(prefix="echoes-rt-") as folder:
        asked = replace(question, out=Path(folder) / question.out.name)
        for _ in range(_WARM_UP):
            generate(timed, asked)
        timer.times.clear()
        spans = generate(timed, asked)
    (total,) = (span for span in spans if span.name == TOTAL)
    return GpuTime(
        name=gpu.info.name,
        # What ran after the whole is not a part of it.
        graphs={name: t for name, t in timer.times.items() if name in STAGE_OF},
        total_ms=total.ms,
        memory_mb=free_mb - gpu.free_memory_mb(),
        power_mode=nvidia_system.power_mode(),
        clocks_mhz=nvidia_system.clocks_mhz(),
    )


class _GpuTimer:
    """Has a model do all its work in one stream, with events round each call."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.times: dict[str, GraphTime] = {}

    def dials(self, graph: str, device: str, dials: SessionDials) -> SessionDials:
        if not device.startswith("cuda"):
            return dials
        return replace(dials, provider={"user_compute_stream": str(self._gpu.stream)})

    def loaded(self, graph: str, session: WatchedSession) -> None:
        if session.device != "cpu":
            clock = EventClock(self._gpu)
            session.around = lambda: self._timed(graph, session.launches, clock)

    @contextmanager
    def _timed(self, graph: str, launches: int, clock: EventClock) -> Iterator[None]:
        self._gpu.enter()
        with nvtx_range(graph):
            start = time.perf_counter()
            clock.start()
            yield
            device_ms = clock.stop_ms()
            wall_ms = (time.perf_counter() - start) * 1000
        entry = self.times.setdefault(graph, GraphTime())
        entry.calls += 1
        entry.wall_ms += wall_ms
        entry.device_ms += device_ms
        entry.launches += launches
