"""Numbers about judged sounds, as plain values for JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from echoes_training.data.audio import Samples
from echoes_training.evaluate.ear import Ear, Verdicts
from echoes_training.evaluate.frechet import fit_gaussian, frechet_distance, label_weights
from echoes_training.evaluate.judge import Judge

Numbers = NDArray[np.int64]
Scores = dict[str, object]

FLOOR_DBFS = -120.0
FULL_SCALE = 0.9995
CLIPPED_RUN = 4
"""So many samples in a row at full scale are heard as clipping; one is merely a peak."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Of N sounds, (N,) each; a sound with a NaN has the levels of silence."""

    rms_dbfs: NDArray[np.float64]
    peak_dbfs: NDArray[np.float64]
    is_clipped: NDArray[np.bool_]
    is_nan: NDArray[np.bool_]


def measure(sounds: NDArray[np.float32]) -> Levels:
    """Of (B, S) samples."""
    is_nan = np.asarray(~np.isfinite(sounds).all(axis=1))
    samples = np.where(is_nan[:, None], 0.0, sounds).astype(np.float64)
    is_full = np.abs(samples) >= FULL_SCALE
    runs = np.lib.stride_tricks.sliding_window_view(is_full, CLIPPED_RUN, axis=1)
    return Levels(
        rms_dbfs=_decibels(np.sqrt(np.mean(samples**2, axis=1))),
        peak_dbfs=_decibels(np.abs(samples).max(axis=1)),
        is_clipped=np.any(np.all(runs, axis=2), axis=1),
        is_nan=is_nan,
    )


def join(parts: Sequence[Levels]) -> Levels:
    """Of all sounds of the parts, in their order."""
    return Levels(
        **{name: np.concatenate([vars(x)[name] for x in parts]) for name in vars(parts[0])}
    )


def _decibels(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(20 * np.log10(np.maximum(amplitude, 10 ** (FLOOR_DBFS / 20))))


@dataclass(frozen=True, kw_only=True)
class Heard:
    """N sounds in order: (N,) true and predicted label numbers, (N, D) embeddings, levels.

    ``by_ear`` is what an independent ear heard, if there was one.
    """

    numbers: Numbers
    predicted: Numbers
    embeddings: NDArray[np.float64]
    levels: Levels
    by_ear: Verdicts | None

    def scores(self, labels: Sequence[str]) -> Scores:
        found = accuracy(self.numbers, self.predicted, labels)
        return found if self.by_ear is None else found | {"ear": asdict(self.by_ear)}


def hear(
    judge: Judge,
    batches: Iterable[Samples],
    numbers: Numbers,
    ear: Ear | None = None,
    names: Sequence[str] = (),
) -> Heard:
    """Judges (B, S) samples at a time; those alone that an ``ear`` hears are kept.

    Args:
        judge: of our own family.
        batches: the sounds.
        numbers: (N,) true labels.
        ear: an independent one.
        names: of the labels, for the ear.
    """
    verdicts, levels = [], []
    kept: list[Samples] = []
    for sounds in batches:
        verdicts.append(judge.judge(sounds))
        levels.append(measure(sounds))
        if ear is not None:
            kept += [*np.nan_to_num(sounds)]
    named = [names[number] for number in numbers]
    rate = judge.spec.sample_rate
    return Heard(
        by_ear=None if ear is None else ear.judge([*zip(named, kept, strict=True)], rate),
        numbers=numbers,
        predicted=np.concatenate([verdict.predicted for verdict in verdicts]),
        embeddings=np.concatenate([verdict.embeddings for verdict in verdicts]),
        levels=join(levels),
    )


def accuracy(numbers: Numbers, predicted: Numbers, labels: Sequence[str]) -> Scores:
    """Of (N,) true and predicted labels; ``overall`` counts all the same, ``balanced`` each label.

    Rows of the confusion matrix are the true labels, its columns the predicted ones.
    """
    n = len(labels)
    confusion = np.bincount(numbers * n + predicted, minlength=n * n).reshape(n, n)
    totals = confusion.sum(axis=1)
    shares = {
        label: round(float(confusion[i, i] / totals[i]), 4)
        for i, label in enumerate(labels)
        if totals[i]
    }
    return {
        "n": int(totals.sum()),
        "overall": round(float(np.trace(confusion) / max(1, totals.sum())), 4),
        "balanced": round(float(np.mean(list(shares.values()))), 4),
        "per_label": shares,
        "n_per_label": dict(zip(labels, totals.tolist(), strict=True)),
        "confusion": confusion.tolist(),
    }


def spread(predicted: Numbers, labels: Sequence[str]) -> Scores:
    """Over which labels (N,) verdicts spread; ``effective`` of them, equally often, say as much."""
    counts = np.bincount(predicted, minlength=len(labels))
    return {
        "labels": int(np.count_nonzero(counts)),
        "effective": _perplexity(counts),
        "largest": labels[int(counts.argmax())],
        "largest_share": round(float(counts.max() / max(1, counts.sum())), 4),
        "counts": {label: int(n) for label, n in zip(labels, counts, strict=True) if n},
    }


def codebook_use(codes: NDArray[np.integer], codebook_size: int) -> Scores:
    """How many codes occur; ``perplexity`` of them, equally often, would say as much."""
    counts = np.bincount(codes.ravel(), minlength=codebook_size)
    used = int(np.count_nonzero(counts))
    return {
        "n_codes": int(counts.sum()),
        "codebook_size": codebook_size,
        "used": used,
        "used_share": round(used / codebook_size, 4),
        "perplexity": _perplexity(counts),
    }


def _perplexity(counts: Numbers) -> float:
    shares = counts[counts > 0] / max(1, counts.sum())
    return round(float(np.exp(-(shares * np.log(shares)).sum())), 2)


def loudness_scores(real: Heard, made: Heard, labels: Sequence[str]) -> Scores:
    """Distributions of both, and how many of the made sounds leave the range of the real ones."""
    low, high = real.levels.rms_dbfs.min(), real.levels.rms_dbfs.max()
    levels = made.levels
    return {
        "n_real": len(real.numbers),
        "n_generated": len(made.numbers),
        "real": _level_summary(real.levels, slice(None)),
        "generated": _level_summary(levels, slice(None)),
        "silent": int((levels.rms_dbfs < low).sum()),
        "too_loud": int((levels.rms_dbfs > high).sum()),
        "clipped": int(levels.is_clipped.sum()),
        "nan": int(levels.is_nan.sum()),
        "per_label": {
            label: {
                "real": _level_summary(real.levels, real.numbers == i),
                "generated": _level_summary(levels, made.numbers == i),
            }
            for i, label in enumerate(labels)
            if (real.numbers == i).any() and (made.numbers == i).any()
        },
    }


def frechet_scores(real: Heard, others: dict[str, tuple[Numbers, NDArray[np.float64]]]) -> Scores:
    """Distances of named (numbers, embeddings) to the real held-out sounds.

    The plain distance also counts that labels are more frequent in one set than in the other;
    ``balanced`` weighs every label the same on both sides.
    """
    plain = fit_gaussian(real.embeddings)
    balanced = fit_gaussian(real.embeddings, label_weights(real.numbers))
    distances = {
        name: {
            "n": len(numbers),
            "plain": round(frechet_distance(fit_gaussian(embeddings), plain), 4),
            "balanced": round(
                frechet_distance(fit_gaussian(embeddings, label_weights(numbers)), balanced), 4
            ),
        }
        for name, (numbers, embeddings) in others.items()
    }
    return {"n_reference": plain.n, "dimensions": real.embeddings.shape[1], **distances}


def _level_summary(levels: Levels, chosen: slice | NDArray[np.bool_]) -> Scores:
    return {
        name: dict(
            zip(
                ("min", "p5", "median", "p95", "max"),
                np.round(np.percentile(values[chosen], [0, 5, 50, 95, 100]), 2).tolist(),
                strict=True,
            )
        )
        for name, values in (("rms_dbfs", levels.rms_dbfs), ("peak_dbfs", levels.peak_dbfs))
    }
