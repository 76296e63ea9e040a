"""Whether many sounds of one picture are different sounds."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from echoes_rt.format.mel import DB_RANGE
from echoes_training.data.audio import Samples
from echoes_training.evaluate.classifier import to_mels
from echoes_training.evaluate.evaluation import Evaluation, jobs_of
from echoes_training.evaluate.scores import Scores

N_SEEDS = 10

Distances = tuple[float, float]


def diversity_scores(evaluation: Evaluation) -> Scores:
    """Mean distance between two sounds of the same group, of all groups.

    A group is: ``generated``, ten sounds of one picture; ``real``, up to ten held-out sounds of
    one label; ``repeated``, one real sound, rotated in time ten times: no variety at all.
    """
    groups = {
        "generated": _generated(evaluation),
        "real": _real(evaluation),
        "repeated": _repeated(evaluation),
    }
    return {name: _summary([*_apart(evaluation, sounds)]) for name, sounds in groups.items()}


def mean_pairwise(rows: NDArray[np.floating], norm: int) -> float:
    """Mean over all pairs of (N, D) rows: 2 for the Euclidean distance, 1 for mean differences."""
    distances = []
    for i in range(len(rows) - 1):
        apart = rows[i + 1 :] - rows[i]
        distances += (
            np.linalg.norm(apart, axis=1) if norm == 2 else np.abs(apart).mean(axis=1)
        ).tolist()
    return float(np.mean(distances))


def _generated(evaluation: Evaluation) -> Iterator[Samples]:
    pictures = evaluation.some_pictures(evaluation.config.varied_per_label)
    jobs = jobs_of(pictures, N_SEEDS, evaluation.config.seed)
    for start in range(0, len(jobs), N_SEEDS):
        yield np.concatenate([*evaluation.made_sounds(jobs[start : start + N_SEEDS])])


def _real(evaluation: Evaluation) -> Iterator[Samples]:
    for label in evaluation.labels:
        mine = [clip for clip in evaluation.heldout_sounds if clip.label == label][:N_SEEDS]
        if len(mine) > 1:
            yield np.stack([evaluation.samples(clip) for clip in mine])


def _repeated(evaluation: Evaluation) -> Iterator[Samples]:
    rng = np.random.default_rng(evaluation.config.seed)
    for clip in evaluation.some_sounds(1):
        sound = evaluation.samples(clip)
        yield np.stack([np.roll(sound, rng.integers(len(sound))) for _ in range(N_SEEDS)])


def _apart(evaluation: Evaluation, groups: Iterator[Samples]) -> Iterator[Distances]:
    for sounds in groups:
        finite = np.nan_to_num(sounds)
        embeddings = evaluation.judge.judge(finite).embeddings
        mels = to_mels(finite, evaluation.judge.spec).flatten(1).numpy()
        yield mean_pairwise(embeddings, 2), mean_pairwise(mels, 1) * DB_RANGE / 2


def _summary(distances: Sequence[Distances]) -> Scores | None:
    if not distances:
        return None
    embedding, mel_db = np.mean(distances, axis=0)
    return {
        "n_groups": len(distances),
        "embedding": round(float(embedding), 3),
        "log_mel_db": round(float(mel_db), 2),
    }
