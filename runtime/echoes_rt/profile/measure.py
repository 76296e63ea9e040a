"""Repeated generations, and what they take."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from echoes_rt.model import Model
from echoes_rt.profile.stages import Question, Span, generate

WARM_UP = 2
"""Runs that do not count: memory is allocated and clocks rise."""


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
