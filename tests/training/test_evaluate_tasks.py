"""What the parts of a report measure, on the tiny bundle and on cases known by other means."""

from pathlib import Path

import numpy as np
import pytest

from echoes_rt import Echoes
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.tokens import Grid
from echoes_training.data.index import read_index
from echoes_training.evaluate import tasks
from echoes_training.evaluate.evaluation import EvaluateConfig, Evaluation
from echoes_training.evaluate.judge import ClassifierConfig, PictureClassifierConfig
from echoes_training.evaluate.tasks import (
    agreement,
    cogeneration_scores,
    diversity_scores,
    inpainting_scores,
    mean_pairwise,
    ranking_scores,
)

LABELS = ("cat", "dog")


@pytest.fixture(scope="module")
def evaluation(
    tiny_bundle: Path, media_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Evaluation:
    config = EvaluateConfig(
        sounds_per_label=2,
        ranked_per_label=1,
        n_pairs=3,
        batch_size=2,
        classifier=ClassifierConfig(width=4, embedding_dim=4, steps=4, batch_size=8),
        picture_classifier=PictureClassifierConfig(width=2, embedding_dim=4, steps=4),
    )
    echoes = Echoes.load(tiny_bundle, "cpu", threads=1)
    cache = tmp_path_factory.mktemp("cache")
    return Evaluation(echoes, read_index(media_index), cache, {"steps": 3}, config)


def test_agreement_by_chance_shows_a_collapse() -> None:
    pairs = np.array([0, 1, 0, 1])
    scores = agreement(pairs, pairs, LABELS)
    assert (scores["agree"], scores["by_chance"]) == (1.0, 0.5)
    alike = np.zeros(4, dtype=np.int64)
    assert agreement(alike, alike, LABELS)["by_chance"] == 1.0
    none = agreement(alike, alike + 1, LABELS)
    assert (none["agree"], none["agreeing"]["labels"]) == (0.0, 0)


def test_pairs_are_those_of_the_runtime(evaluation: Evaluation) -> None:
    scores = cogeneration_scores(evaluation)
    assert scores["n"] == 3
    assert sum(scores["sounds"]["counts"].values()) == 3
    assert sum(scores["pictures"]["counts"].values()) == 3


def test_inpainting_leaves_the_rest_and_has_its_yardsticks(evaluation: Evaluation) -> None:
    scores = inpainting_scores(evaluation)
    assert scores["n"] == 2
    assert scores["largest_change_outside"] <= 1e-4
    assert scores["distance_db"]["filled"] > 0
    assert scores["distance_db"]["codec"] > 0
    # The labels of the small world are tones far apart, one sound of each held out.
    assert scores["distance_db"]["same_label"] is None
    assert scores["distance_db"]["other_label"] > 1
    assert {*scores["inside"]} == {*scores["whole"]} == {"real", "codec", "filled"}


def test_another_clip_is_never_the_clip_itself() -> None:
    numbers = np.array([0, 0, 0, 1, 1, 2])
    same, other = (tasks._others(numbers, same=flag) for flag in (True, False))
    assert (numbers[same[:5]] == numbers[:5]).all()
    assert (same[:5] != np.arange(5)).all()
    assert same[5] == -1
    assert (numbers[other] != numbers).all()


def test_mean_pairwise_distance() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert mean_pairwise(rows, 2) == pytest.approx((5 + 0 + 5) / 3)
    assert mean_pairwise(rows, 1) == pytest.approx((7 + 0 + 7) / 3)
    assert mean_pairwise(np.ones((4, 3)), 2) == 0


def test_seeds_give_different_sounds(evaluation: Evaluation) -> None:
    scores = diversity_scores(evaluation)
    assert scores["generated"]["n_groups"] == 2
    assert scores["generated"]["log_mel_db"] > 0
    assert scores["repeated"]["n_groups"] == 2
    assert scores["real"] is None  # one held-out sound of each label has no other


def test_the_best_of_eight_lies_between_none_and_all(evaluation: Evaluation) -> None:
    for scores in ranking_scores(evaluation).values():
        assert (scores["n"], scores["n_candidates"]) == (2, 8)
        assert 0 <= scores["average"] <= scores["any"] <= 1
        assert scores["best"] <= scores["any"]


def test_flux_is_found_where_a_sound_breaks() -> None:
    spec = MelSpec()
    time = np.arange(4 * spec.n_samples // 4) / spec.sample_rate
    sound = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    steady = tasks.spectral_flux(sound, spec)
    assert np.median(steady) < 0.1
    sound[100 * spec.hop_length :] *= -0.1
    broken = tasks.spectral_flux(sound, spec)
    assert abs(int(broken[10:].argmax()) + 10 - 100) <= tasks.NEAR_FRAMES
    assert broken[10:].max() > 20 * np.median(steady)


def test_where_the_windows_of_a_stream_meet() -> None:
    spec, grid = MelSpec(n_frames=108), Grid(height=5, width=27, codebook_size=8)
    # 4 frames a column, 15 fresh columns a window, 9 of overlap, 3 that are never heard.
    assert tasks.window_frames(200, spec, grid) == [60, 96, 120, 156, 180]
