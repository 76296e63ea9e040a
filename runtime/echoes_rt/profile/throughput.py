"""Sounds a second, of one picture after another and of many at once."""

import time
from statistics import median

from echoes_rt.options import options_of
from echoes_rt.pipeline import Echoes
from echoes_rt.profile.report import Subject

BATCHES = (1, 4, 16)


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
