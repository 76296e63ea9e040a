"""How long an NVIDIA GPU works for a generation, and how long it waits for the host."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from echoes_rt.backends.base import Session
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.session_start import SessionDials
from echoes_rt.model import Model
from echoes_rt.nvidia import system as nvidia_system
from echoes_rt.nvidia.bound import BoundStep
from echoes_rt.nvidia.gpu import EventClock, Gpu
from echoes_rt.nvidia.nvtx_range import nvtx_range
from echoes_rt.nvidia.tensorrt import TensorRTSession
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
        total_ms: the whole generation, from reading the picture to the written sound.
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
    timed = _TimedModel.beside(model)
    gpu = timed._open_gpu()
    free_mb = gpu.free_memory_mb()
    with TemporaryDirectory(prefix="echoes-rt-") as folder:
        asked = replace(question, out=Path(folder) / question.out.name)
        for _ in range(_WARM_UP):
            generate(timed, asked)
        timed.graph_times.clear()
        spans = generate(timed, asked)
    (total,) = (span for span in spans if span.name == TOTAL)
    return GpuTime(
        name=gpu.info.name,
        # What ran after the whole is not a part of it.
        graphs={name: t for name, t in timed.graph_times.items() if name in STAGE_OF},
        total_ms=total.ms,
        memory_mb=free_mb - gpu.free_memory_mb(),
        power_mode=nvidia_system.power_mode(),
        clocks_mhz=nvidia_system.clocks_mhz(),
    )


@dataclass
class _Timer:
    """Wraps each call of one session."""

    name: str
    gpu: Gpu
    launches: int
    times: dict[str, GraphTime]
    clock: EventClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = EventClock(self.gpu)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.gpu.enter()
        with nvtx_range(self.name):
            start = time.perf_counter()
            self.clock.start()
            yield
            device_ms = self.clock.stop_ms()
            wall_ms = (time.perf_counter() - start) * 1000
        entry = self.times.setdefault(self.name, GraphTime())
        entry.calls += 1
        entry.wall_ms += wall_ms
        entry.device_ms += device_ms
        entry.launches += self.launches


class _TimedModel(Model):
    """A model all of whose work goes through one stream, with events round each call."""

    graph_times: dict[str, GraphTime]

    @classmethod
    def beside(cls, model: Model) -> "_TimedModel":
        timed = cls(model.bundle, model.choice, model._threads)
        timed.graph_times = {}
        return timed

    def _dials(self, name: str) -> SessionDials:
        dials = super()._dials(name)
        if not self.choice.device_of(name).startswith("cuda"):
            return dials
        return replace(dials, provider={"user_compute_stream": str(self._open_gpu().stream)})

    def _load(self, name: str) -> Session:
        session = super()._load(name)
        assert isinstance(session, OnnxSession | BoundStep | TensorRTSession)
        if session.device != "cpu":
            session.around = _Timer(name, self._open_gpu(), session.launches, self.graph_times)
        return session
