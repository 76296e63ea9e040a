"""The formulas, against other implementations of the same definitions on the same arrays."""

import math

import numpy as np
import pytest
from scipy import special

from echoes_training.av_metrics.divergence import (
    inception_score,
    kl_sigmoid,
    kl_softmax,
    kl_specvqgan,
    mean_cosine,
)
from echoes_training.av_metrics.features import make_features
from echoes_training.av_metrics.media import resample
from echoes_training.av_metrics.pairing import pair_names, parse_pattern


def logits(n: int, classes: int, seed: int) -> np.ndarray:
    return 3 * np.random.default_rng(seed).standard_normal((n, classes))


def embeddings(n: int, dimensions: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dimensions)) @ rng.standard_normal((dimensions, dimensions))


def test_kl_is_that_of_scipy_and_has_a_direction() -> None:
    real, made = logits(20, 7, 0), logits(20, 7, 1)
    p, q = special.softmax(real, axis=1), special.softmax(made, axis=1)
    expected = special.rel_entr(p, q).sum() / 20
    assert kl_softmax(real, made) == pytest.approx(expected)
    assert kl_softmax(made, real) != pytest.approx(expected, rel=1e-3)
    sigmoids = special.rel_entr(special.expit(real), special.expit(made))
    assert kl_sigmoid(real, made) == pytest.approx(sigmoids.sum() / 20)
    floored = special.rel_entr(p, q + 1e-6).sum() / 20
    assert kl_specvqgan(real, made) == pytest.approx(floored)


def test_kl_of_huge_logits_is_finite_and_of_equal_ones_zero() -> None:
    real, made = np.array([[2000.0, -2000.0]]), np.array([[-2000.0, 2000.0]])
    assert kl_softmax(real, made) == pytest.approx(4000)
    assert kl_specvqgan(real, made) == pytest.approx(-math.log(1e-6))
    assert kl_softmax(real, real) == 0


def test_inception_score_counts_what_is_sure_and_spread() -> None:
    sure = 100 * np.eye(5)[np.arange(1000) % 5]
    mean, deviation = inception_score(sure)
    # Each of ten parts has nearly as many of every class as of any other.
    assert mean == pytest.approx(5, abs=0.15)
    assert deviation < 0.1
    assert inception_score(np.zeros((100, 5))) == (pytest.approx(1), pytest.approx(0))


def test_inception_score_is_that_of_a_loop_over_single_numbers() -> None:
    scores = logits(23, 4, 4)
    order = np.random.RandomState(2020).permutation(23)
    values = []
    for i in range(10):
        part = [scores[j] for j in order[i * 23 // 10 : (i + 1) * 23 // 10]]
        p = [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in part]
        q = [sum(row[c] for row in p) / len(p) for c in range(4)]
        kls = [sum(a * math.log(a / b) for a, b in zip(row, q, strict=True)) for row in p]
        values.append(math.exp(sum(kls) / len(kls)))
    mean = sum(values) / 10
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 10)
    assert inception_score(scores) == (pytest.approx(mean), pytest.approx(deviation))


def test_cosine_is_that_of_numpy() -> None:
    a, b = embeddings(6, 5, 5), embeddings(6, 5, 6)
    names = [f"clip{i}" for i in range(6)]
    sounds, pictures = (
        make_features("x", dict(zip(names, rows, strict=True)), {}, {}) for rows in (a, b)
    )
    unit_a, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    cosines = unit_a @ unit_b.T
    expected = cosines.diagonal().mean()
    assert mean_cosine(sounds, pictures, [(n, n) for n in names]) == pytest.approx(expected)
    frames = make_features("x", {"clip0": np.stack([b[0], b[1]])}, {}, {})
    both = cosines[0, :2].mean()
    assert mean_cosine(sounds, frames, [("clip0", "clip0")]) == pytest.approx(both)


@pytest.mark.parametrize("rates", [(44_100, 16_000), (8_000, 32_000), (22_050, 32_000)])
def test_resampling_is_the_sum_that_it_says(rates: tuple[int, int]) -> None:
    old, new = rates
    x = np.random.default_rng(0).standard_normal(300).astype(np.float32)
    y = resample(x, old, new)
    assert len(y) == math.ceil(300 * new / old)
    c = 0.99 * min(old, new)
    for n in (0, 1, 17, len(y) // 2, len(y) - 1):
        t = n / new - np.arange(300) / old
        h = c / old * np.sinc(c * t) * np.cos(np.pi * c * t / 12) ** 2 * (np.abs(c * t) < 6)
        assert y[n] == pytest.approx(float(x @ h), abs=1e-5)


def test_resampling_keeps_a_tone_and_drops_what_does_not_fit() -> None:
    time = np.arange(44_100) / 44_100
    low, high = (np.sin(2 * np.pi * f * time).astype(np.float32) for f in (1000, 12_000))
    expected = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(resample(low, 44_100, 16_000)[50:-50], expected[50:-50], atol=1e-2)
    assert np.abs(resample(high, 44_100, 16_000)[50:-50]).max() < 1e-2
    assert resample(low, 44_100, 44_100) is low


def test_names_pair_files() -> None:
    pairing = pair_names(["b", "a", "x"], ["a", "b", "c"])
    assert pairing.pairs == [("a", "a"), ("b", "b")]
    assert (pairing.without_reference, pairing.without_generated) == (["x"], ["c"])
    repeated = pair_names(["a-0", "a-1", "b-0"], ["a", "b"], parse_pattern(r"(.+)-\d+"))
    assert repeated.pairs == [("a-0", "a"), ("a-1", "a"), ("b-0", "b")]
    assert repeated.is_repeated
    assert not pairing.is_repeated
