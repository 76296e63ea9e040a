"""The numbers of an evaluation, against values known by other means."""

import numpy as np
import pytest

from echoes_training.evaluate.frechet import (
    Gaussian,
    fit_gaussian,
    frechet_distance,
    label_weights,
)
from echoes_training.evaluate.scores import (
    CLIPPED_RUN,
    FLOOR_DBFS,
    Heard,
    accuracy,
    codebook_use,
    loudness_scores,
    measure,
    spread,
)


def gaussian(mean: list[float], covariance: np.ndarray) -> Gaussian:
    return Gaussian(mean=np.array(mean), covariance=covariance, n=100)


def test_frechet_distance_of_commuting_gaussians_has_a_closed_form() -> None:
    a = gaussian([0, 0, 0], np.diag([1.0, 4.0, 9.0]))
    b = gaussian([3, 4, 0], np.diag([4.0, 4.0, 1.0]))
    # |(3, 4, 0)|^2 + (1 - 2)^2 + (2 - 2)^2 + (3 - 1)^2
    assert frechet_distance(a, b) == pytest.approx(30)


def test_frechet_distance_of_gaussians_that_do_not_commute() -> None:
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((2, 4, 4))
    a, b = (gaussian([0] * 4, factor @ factor.T) for factor in factors)
    # The eigenvalues of the product itself, which is not symmetric.
    roots = np.sqrt(np.linalg.eigvals(a.covariance @ b.covariance).real).sum()
    expected = np.trace(a.covariance) + np.trace(b.covariance) - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)


def test_frechet_distance_to_itself_is_zero_even_where_singular() -> None:
    embeddings = np.random.default_rng(1).standard_normal((5, 12))
    fitted = fit_gaussian(embeddings)
    assert frechet_distance(fitted, fitted) == pytest.approx(0, abs=1e-6)


def test_balanced_weights_undo_how_often_a_label_occurs() -> None:
    one, two = np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([[8.0, 3.0], [6.0, 5.0]])
    few = np.concatenate([one, two])
    many = np.concatenate([one, one, one, two])
    numbers = np.array([0] * 6 + [1] * 2)
    weighted = fit_gaussian(many, label_weights(numbers))
    np.testing.assert_allclose(weighted.mean, few.mean(axis=0))
    assert not np.allclose(fit_gaussian(many).mean, few.mean(axis=0))


def test_a_gaussian_needs_two_embeddings() -> None:
    with pytest.raises(ValueError, match="2 or more embeddings, got 1"):
        fit_gaussian(np.zeros((1, 3)))


def test_levels_of_a_sine_a_square_silence_and_a_nan() -> None:
    time = np.arange(1000) / 1000
    sine = np.sin(2 * np.pi * 10 * time) * 0.5
    square = np.sign(np.sin(2 * np.pi * 10 * time + 0.1))
    broken = np.where(time == 0.5, np.nan, sine)
    sounds = np.stack([sine, square, 0 * sine, broken]).astype(np.float32)
    levels = measure(sounds)
    assert levels.rms_dbfs[:2] == pytest.approx([-9.03, 0.0], abs=0.01)
    assert levels.peak_dbfs[:2] == pytest.approx([-6.02, 0.0], abs=0.01)
    assert levels.rms_dbfs[2:].tolist() == [FLOOR_DBFS] * 2
    assert levels.is_clipped.tolist() == [False, True, False, False]
    assert levels.is_nan.tolist() == [False, False, False, True]


def test_a_single_full_peak_is_not_clipping() -> None:
    sound = np.zeros((1, 100), dtype=np.float32)
    sound[0, 50 : 50 + CLIPPED_RUN - 1] = 1.0
    assert not measure(sound).is_clipped[0]
    sound[0, 50 : 50 + CLIPPED_RUN] = -1.0
    assert measure(sound).is_clipped[0]


def test_codebook_use() -> None:
    even = codebook_use(np.array([[0, 1], [2, 3]]), 8)
    assert (even["used"], even["used_share"], even["perplexity"]) == (4, 0.5, 4.0)
    assert codebook_use(np.array([[5, 5, 5]]), 8)["perplexity"] == 1.0


def heard(numbers: list[int], predicted: list[int], sounds: np.ndarray) -> Heard:
    return Heard(
        numbers=np.array(numbers),
        predicted=np.array(predicted),
        embeddings=np.zeros((len(numbers), 2)),
        levels=measure(sounds),
        by_ear=None,
    )


def test_accuracy_counts_sounds_and_labels() -> None:
    scores = accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ("cat", "dog", "hen"))
    assert scores["overall"] == 0.75
    assert scores["per_label"] == {"cat": 0.6667, "dog": 1.0}
    assert scores["balanced"] == pytest.approx(0.8333, abs=1e-4)
    assert scores["n_per_label"] == {"cat": 3, "dog": 1, "hen": 0}
    assert scores["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_spread_sees_a_collapse() -> None:
    labels = ("cat", "dog", "hen", "owl")
    even = spread(np.array([0, 1, 0, 1]), labels)
    assert (even["labels"], even["effective"], even["largest_share"]) == (2, 2.0, 0.5)
    one = spread(np.array([3, 3, 3]), labels)
    assert (one["effective"], one["largest"], one["counts"]) == (1.0, "owl", {"owl": 3})
    assert spread(np.array([], dtype=np.int64), labels)["labels"] == 0


def test_loudness_outside_the_real_range_is_counted() -> None:
    def flat(*levels: float) -> np.ndarray:
        return np.array(levels, dtype=np.float32)[:, None] * np.ones(100, dtype=np.float32)

    real = heard([0, 0], [0, 0], flat(0.1, 0.3))
    made = heard([0, 0, 0, 0], [0, 0, 0, 0], flat(0.01, 0.2, 0.9, np.nan))
    scores = loudness_scores(real, made, ("cat",))
    counts = {key: scores[key] for key in ("silent", "too_loud", "clipped", "nan")}
    assert counts == {"silent": 2, "too_loud": 1, "clipped": 0, "nan": 1}
