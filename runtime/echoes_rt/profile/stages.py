"""One generation, stage by stage, and what many of them take."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from echoes_rt.decode.steps import OnStep
from echoes_rt.format.sampling import Sampling
from echoes_rt.io.audio import write_audio
from echoes_rt.io.image import read_image
from echoes_rt.model import Model
from echoes_rt.nvidia.gpu import nvtx_range

TOTAL = "total"

PICTURE = Path(__file__).with_name("dog.jpg")
"""What is measured where no other picture is given: a photograph of Caltech-101 (CC BY 4.0)."""

STAGE_OF = {
    "image_encoder": "encode_image",
    "context_image": "decode_tokens",
    "decode_audio": "decode_tokens",
    "decode_audio_step": "decode_tokens",
    "mel_decoder": "decode_mel",
    "vocoder": "vocode",
}
"""In which stage each graph runs."""

WARM_UP = 2
"""Runs that do not count: memory is allocated and clocks rise."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a generation, in nanoseconds of ``time.perf_counter_ns``."""

    name: str
    start_ns: int
    stop_ns: int

    @property
    def ms(self) -> float:
        return (self.stop_ns - self.start_ns) / 1e6


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is generated: the same in every run."""

    out: Path
    sampling: Sampling
    picture: Path = PICTURE
    seed: int = 0
    members: int = 1


@contextmanager
def _stage(spans: list[Span], name: str) -> Iterator[None]:
    start = time.perf_counter_ns()
    with nvtx_range(name):
        yield
    spans.append(Span(name=name, start_ns=start, stop_ns=time.perf_counter_ns()))


def _laps(spans: list[Span]) -> OnStep:
    """Notes each step."""
    last = time.perf_counter_ns()

    def lap(step: int, steps: int) -> None:
        nonlocal last
        now = time.perf_counter_ns()
        spans.append(Span(name=f"step {step + 1}", start_ns=last, stop_ns=now))
        last = now

    return lap


def generate(model: Model, question: Question) -> list[Span]:
    """Makes the sound of a picture, writes it, and gives the stages, the whole last.

    The whole is from the picture's file to the samples; how long writing takes is up to the disk.
    A model that runs all steps in one call says nothing of single steps.
    """
    spans: list[Span] = []
    grid = model.manifest.tokens.audio
    seeds = [question.seed + i for i in range(question.members)]
    with _stage(spans, TOTAL):
        with _stage(spans, "read"):
            picture = read_image(question.picture)
        with _stage(spans, "encode_image"):
            image = model.encode_image(picture)
        tokens = np.full((question.members, grid.n_tokens), grid.mask_token, dtype=np.int32)
        with _stage(spans, "decode_tokens"):
            codes = model.decode_tokens(
                "audio",
                tokens,
                np.repeat(image, question.members, axis=0),
                seeds=seeds,
                sampling=question.sampling,
                on_step=None if "decode_audio" in model.choice.engines else _laps(spans),
            )
        with _stage(spans, "decode_mel"):
            mel = model.decode_mel(codes[:1], seeds=seeds[:1])
        with _stage(spans, "vocode"):
            samples = model.vocode(mel)[0]
            samples = samples / max(1.0, float(np.abs(samples).max()))
    total = spans.pop()
    with _stage(spans, "write"):
        write_audio(question.out, samples, model.manifest.mel.sample_rate)
    return [*spans, total]


@dataclass(frozen=True, kw_only=True)
class Times:
    """Milliseconds of one stage over all runs."""

    p50: float
    p95: float
    min: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Times":
        array = np.fromiter(values, dtype=np.float64)
        p50, p95 = (float(x) for x in np.percentile(array, (50, 95)))
        return cls(p50=p50, p95=p95, min=float(array.min()))

    def to_dict(self) -> dict[str, float]:
        return {name: round(ms, 4) for name, ms in asdict(self).items()}


def measure(
    subjects: Sequence[tuple[Model, Question]],
    runs: int,
    on_run: Callable[[], None] = lambda: None,
) -> list[dict[str, Times]]:
    """Generates ``runs`` times with each subject, in turns, so that all meet the same machine.

    Returns:
        For each subject its stages in order, the whole last.
    """
    taken: list[list[list[Span]]] = [[] for _ in subjects]
    for run in range(WARM_UP + runs):
        for spans, (model, question) in zip(taken, subjects, strict=True):
            made = generate(model, question)
            if run >= WARM_UP:
                spans.append(made)
        on_run()
    return [_times(runs_of) for runs_of in taken]


def _times(runs: list[list[Span]]) -> dict[str, Times]:
    return {span.name: Times.of(run[i].ms for run in runs) for i, span in enumerate(runs[0])}
