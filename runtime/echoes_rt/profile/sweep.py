"""Cost against the number of steps or of tokens, and sounds a second in batches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

from echoes_rt.options import options_of
from echoes_rt.pipeline import Echoes
from echoes_rt.profile.report import Subject, amount
from echoes_rt.profile.stages import Question, Times, measure
from echoes_rt.profile.work import stage_flop, watch

KINDS = ("steps", "tokens")
STEPS = (1, 2, 4, 8, 12, 16, 24, 32)
MEMBERS = (1, 2, 4, 8)
BATCHES = (1, 4, 16)
STAGE = "decode_tokens"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement of the decoding loop.

    Attributes:
        value: steps, or tokens in one pass of one branch.
        gflop: counted in the graphs that ran.
        predicted_ms: ``gflop`` at the rate of the reference point.
        is_reference: the bundle's own number of steps, and one member.
    """

    value: int
    ms: Times
    gflop: float
    predicted_ms: float
    is_reference: bool

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what was measured."""
        return self.predicted_ms / self.ms.p50 - 1

    def to_dict(self) -> dict[str, object]:
        return asdict(self) | {"ms": self.ms.to_dict(), "error": round(self.error, 4)}


def sweep(subject: Subject, kind: str, runs: int, say: Callable[[str], None]) -> list[Point]:
    """Decodes with several numbers of steps, or of members at once, in turns.

    A prediction knows one measured number, the rate of the reference point; all else is counted.
    """
    questions = _questions(subject, kind)
    say(f"{subject.label}: {amount(runs, 'run')} with {', '.join(map(str, questions))} {kind}")
    measured = measure([(subject.model, q) for q in questions.values()], runs)
    flop = [
        stage_flop(watch(subject.model, q, is_counting=True))[STAGE] for q in questions.values()
    ]
    times = [stages[STAGE] for stages in measured]
    reference = list(questions.values()).index(subject.question)
    ms_per_flop = times[reference].p50 / flop[reference]
    return [
        Point(
            value=value,
            ms=times[i],
            gflop=flop[i] / 1e9,
            predicted_ms=flop[i] * ms_per_flop,
            is_reference=i == reference,
        )
        for i, value in enumerate(questions)
    ]


def throughput(subject: Subject, runs: int) -> dict[int, float]:
    """Medians by how many pictures are given in one call, measured in turns; files are read too."""
    question, model = subject.question, subject.model
    echoes = Echoes(model.bundle, model.choice, subject.threads)
    taken_s: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for _ in range(1 + runs):
        for batch, seconds in taken_s.items():
            start = time.perf_counter()
            echoes.generate_many(
                [question.picture] * batch, seed=question.seed, **options_of(question.sampling)
            )
            seconds.append(time.perf_counter() - start)
    # The first run warms up.
    return {batch: batch / median(seconds[1:]) for batch, seconds in taken_s.items()}


def largest_error(points: Sequence[Point]) -> float:
    return max(abs(point.error) for point in points)


def _questions(subject: Subject, kind: str) -> dict[int, Question]:
    question, layout = subject.question, subject.model.manifest.tokens
    if kind == "tokens":
        return {n * layout.n_tokens: replace(question, members=n) for n in MEMBERS}
    steps = {n for n in STEPS if n <= layout.audio.n_tokens} | {question.sampling.steps}
    return {
        n: replace(question, sampling=replace(question.sampling, steps=n)) for n in sorted(steps)
    }
