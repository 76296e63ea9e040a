"""All that ``echoes-rt profile`` finds out, as one record for each subject."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from echoes_rt.backends.provider import CPU_PROVIDER
from echoes_rt.model import Model
from echoes_rt.nvidia.gpu_time import GpuTime, gpu_time
from echoes_rt.profile.cold_start import ColdStart, cold_start
from echoes_rt.profile.stages import TOTAL, Question, Times, measure
from echoes_rt.profile.work import Generation, GraphWork, graph_work, stage_flop, watch

Say = Callable[[str], None]

SCHEMA = "echoes-rt-profile-1"
"""Of the JSON document; its number rises when a key goes or changes its meaning."""

UNITS = {
    "p50, p95, min, *_ms": "milliseconds",
    "gflop": "10^9 operations of one run, two for each multiplication and addition",
    "sounds_per_second": "sounds a second, where so many members are made in one call",
    "gflops, *_gflops": "10^9 operations a second",
    "*_s": "seconds",
    "*_mb": "10^6 bytes",
    "share, share_*, *_share, real_time_factor, error, time_by_operator": "a share, 1 is all",
}
"""Of the document's numbers, by the names of their keys; others are counts."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is profiled.

    Attributes:
        threads: of the CPU's operators, as asked for; None is one a core, or the quota.
    """

    label: str
    model: Model
    question: Question
    threads: int | None

    @property
    def is_on_cpu(self) -> bool:
        return self.model.choice.device == "cpu"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One subject's figures.

    Attributes:
        stages: in order, the whole last.
        flop: of each stage.
        watched: one generation under ONNX Runtime's profiler.
        gpu: what an NVIDIA GPU did; None on other devices.
        throughput: sounds a second by the size of the batch, if that was asked for.
    """

    subject: Subject
    stages: dict[str, Times]
    flop: dict[str, int]
    cold: ColdStart
    watched: Generation
    gpu: GpuTime | None = None
    throughput: dict[int, float] = field(default_factory=dict)

    @property
    def sound_s(self) -> float:
        return self.subject.model.manifest.mel.duration_s

    @property
    def real_time_factor(self) -> float:
        """Time to make a sound over its duration; below 1 is faster than it plays."""
        return self.stages[TOTAL].p50 / 1000 / self.sound_s

    @property
    def graphs(self) -> dict[str, GraphWork]:
        return graph_work(self.watched)

    @property
    def fallen_to_cpu(self) -> dict[str, list[str]]:
        """Operators that the CPU ran for a graph although another device was chosen."""
        if self.subject.is_on_cpu:
            return {}
        return {
            graph: work.providers[CPU_PROVIDER].operators
            for graph, work in self.graphs.items()
            if CPU_PROVIDER in work.providers
        }

    @property
    def precisions(self) -> dict[str, str]:
        """In which each graph that ran computes."""
        return {graph: self.subject.model.precision(graph) for graph in self.graphs}

    def gflops(self, stage: str) -> float:
        """GFLOP/s that the stage reaches."""
        return self.flop[stage] / self.stages[stage].p50 / 1e6

    def to_dict(self, peak_gflops: float) -> dict[str, object]:
        """As JSON can hold it."""
        model = self.subject.model
        return {
            "label": self.subject.label,
            "bundle": model.manifest.name,
            "device": model.choice.device,
            "device_reason": model.choice.reason,
            "precision": self.precisions,
            "sampling": asdict(self.subject.question.sampling),
            "sound_s": round(self.sound_s, 4),
            "real_time_factor": round(self.real_time_factor, 5),
            "stages": {name: self._stage(name, peak_gflops) for name in self.stages},
            "cold_start": asdict(self.cold),
            "graphs": {graph: asdict(work) for graph, work in self.graphs.items()},
            "fallen_to_cpu": self.fallen_to_cpu,
            "batches": [
                {"members": members, "sounds_per_second": round(rate, 3)}
                for members, rate in self.throughput.items()
            ],
            "unrecorded": model.unrecorded(),
            "gpu": None if self.gpu is None else self.gpu.to_dict(),
        }

    def _stage(self, name: str, peak_gflops: float) -> dict[str, object]:
        figures: dict[str, object] = {"ms": self.stages[name].to_dict()}
        if self.flop[name]:
            figures |= {
                "gflop": self.flop[name] / 1e9,
                "gflops": round(self.gflops(name), 2),
                # The CPU's peak says nothing of another device.
                "share_of_peak": (
                    round(self.gflops(name) / peak_gflops, 4) if self.subject.is_on_cpu else None
                ),
            }
        return figures


def amount(number: int, noun: str) -> str:
    """Such as 1 run, 7 runs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def make_profiles(subjects: Sequence[Subject], runs: int, say: Say) -> list[Profile]:
    """Profiles all subjects, their timed runs in turns."""
    colds = []
    for subject in subjects:
        say(f"{subject.label}: cold start")
        colds.append(cold_start(subject))
    say(amount(runs, "run"))
    stages = measure([(s.model, s.question) for s in subjects], runs)
    profiles = []
    for subject, times, cold in zip(subjects, stages, colds, strict=True):
        say(f"{subject.label}: nodes")
        counted = watch(subject.model, subject.question, is_counting=True)
        profiles.append(
            Profile(
                subject=subject,
                stages=times,
                flop=stage_flop(counted),
                cold=cold,
                watched=watch(subject.model, subject.question, is_counting=False),
                gpu=gpu_time(subject.model, subject.question),
            )
        )
    return profiles
