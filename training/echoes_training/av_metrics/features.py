"""What an embedder says of a set of files, by file name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Features:
    """Of the files of one folder, by their names without suffix, sorted.

    Attributes:
        embeddings: (R, D); R is 1, or the number of pieces that the embedder cuts a sound into.
        logits: (C,), before any softmax or sigmoid; empty if the embedder knows no classes.
        origin: how they were made, as far as that is known.
    """

    embeddings: dict[str, Array]
    logits: dict[str, Array]
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return sorted({*self.embeddings, *self.logits})

    @property
    def dimensions(self) -> int:
        """D, or 0 if there are no embeddings."""
        return next((rows.shape[1] for rows in self.embeddings.values()), 0)

    @property
    def n_classes(self) -> int:
        return next((len(scores) for scores in self.logits.values()), 0)

    def rows(self, names: Iterable[str]) -> Array:
        """(sum of R, D): the pieces of all named files, in that order."""
        return np.concatenate([self.embeddings[name] for name in names])

    def scores(self, names: Iterable[str]) -> Array:
        """(N, C)."""
        return np.stack([self.logits[name] for name in names])


def make_features(
    place: str,
    embeddings: Mapping[str, NDArray[np.generic]],
    logits: Mapping[str, NDArray[np.generic]],
    origin: Mapping[str, str],
) -> Features:
    """Checks shapes and values.

    Args:
        place: where they come from, for messages.
        embeddings: (D,) or (R, D) by name.
        logits: (C,) by name.
        origin: kept as it is.

    Raises:
        InputError: naming the first file that does not fit.
    """
    rows = {name: np.atleast_2d(_numbers(place, name, embeddings[name])) for name in embeddings}
    scores = {name: np.squeeze(_numbers(place, name, logits[name])) for name in logits}
    if not rows and not scores:
        raise InputError(f"{place} holds no embeddings and no logits")
    _check_shapes(place, "embedding", rows, 2)
    _check_shapes(place, "logits", scores, 1)
    _check_logits(place, scores)
    return Features(
        embeddings={name: rows[name] for name in sorted(rows)},
        logits={name: scores[name] for name in sorted(scores)},
        origin=dict(origin),
    )


def _numbers(place: str, name: str, values: NDArray[np.generic]) -> Array:
    if values.dtype.kind not in "fiu":
        raise InputError(f"{place}: {name} must hold numbers, got {values.dtype}")
    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size or not np.isfinite(numbers).all():
        raise InputError(f"{place}: {name} is empty or has values that are not finite")
    return numbers


def _check_shapes(place: str, kind: str, arrays: Mapping[str, Array], ndim: int) -> None:
    sizes: dict[int, str] = {}
    for name, array in arrays.items():
        if array.ndim != ndim:
            raise InputError(f"{place}: the {kind} of {name} has the shape {array.shape}")
        sizes.setdefault(array.shape[-1], name)
    if len(sizes) > 1:
        (a, first), (b, second) = list(sizes.items())[:2]
        raise InputError(f"{place}: the {kind} of {first} has {a} numbers, that of {second} {b}")


def _check_logits(place: str, scores: Mapping[str, Array]) -> None:
    """Softmax twice is the commonest mistake of KL and IS, and gives plausible numbers."""
    if scores and all(((row >= 0) & (row <= 1)).all() for row in scores.values()):
        raise InputError(
            f"{place}: the logits all lie in [0, 1], as probabilities do; give the network's "
            "scores before its softmax or sigmoid"
        )
