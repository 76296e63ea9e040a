import dataclasses

import numpy as np
import pytest

from echoes_training.masking import draw_alone, draw_question
from echoes_training.presets import PRESETS

CONTEXT = PRESETS["mini"].transformer
CONFIG = dataclasses.replace(CONTEXT, model=dataclasses.replace(CONTEXT.model, form="joint"))
LAYOUT = CONFIG.layout


def draw_many(masking: str, count: int = 2000) -> np.ndarray:
    config = dataclasses.replace(CONFIG, masking=masking)
    rng = np.random.default_rng(0)
    return np.stack([draw_question(config, rng).mask for _ in range(count)])


def test_something_is_always_asked() -> None:
    assert draw_many("independent").any(axis=1).all()


def test_independent_ratios_ask_every_question_of_decoding() -> None:
    masks = draw_many("independent")
    image = masks[:, LAYOUT.image_slice].mean(axis=1)
    audio = masks[:, LAYOUT.audio_slice].mean(axis=1)
    given = (image == 0) & (audio > 0)
    unconditional = (image == 1) & (audio > 0) & (audio < 1)
    nothing_known = (image == 1) & (audio == 1)
    assert given.mean() > 0.2
    assert unconditional.mean() > 0.03
    assert nothing_known.mean() > 0.02


def test_a_joint_ratio_hardly_ever_hides_the_condition_alone() -> None:
    masks = draw_many("joint")
    image = masks[:, LAYOUT.image_slice].mean(axis=1)
    audio = masks[:, LAYOUT.audio_slice].mean(axis=1)
    assert ((image == 1) & (audio < 0.9)).mean() < 0.01


def test_a_single_medium_leaves_the_other_unknown() -> None:
    rng = np.random.default_rng(0)
    parts = (LAYOUT.image_slice, LAYOUT.audio_slice)
    for _ in range(50):
        question, (medium,) = draw_alone(CONFIG, rng)
        assert question.mask[parts[1 - medium]].all()
        assert question.asked[parts[medium]].any()
        assert not question.asked[parts[1 - medium]].any()


def test_in_context_form_one_medium_asks_and_half_of_the_other_is_known_or_more() -> None:
    rng = np.random.default_rng(0)
    questions = [draw_question(CONTEXT, rng) for _ in range(400)]
    parts = (LAYOUT.image_slice, LAYOUT.audio_slice)
    hidden = []
    for question in questions:
        target = question.sees.index(True)
        assert question.sees.count(True) == 1
        assert question.asked[parts[target]].any()
        assert (question.asked == question.mask)[parts[target]].all()
        assert not question.asked[parts[1 - target]].any()
        hidden.append(question.mask[parts[1 - target]].mean())
    assert CONTEXT.context_mask == 0.5
    assert 0.2 < np.mean(hidden) < 0.3
    assert max(hidden) <= 0.52
    asks_for_picture = float(np.mean([question.sees[0] for question in questions]))
    assert asks_for_picture == pytest.approx(LAYOUT.image.n_tokens / LAYOUT.n_tokens, abs=0.08)


def test_without_a_context_mask_all_of_the_other_medium_is_known() -> None:
    rng = np.random.default_rng(0)
    whole = dataclasses.replace(CONTEXT, context_mask=0.0)
    for _ in range(50):
        question = draw_question(whole, rng)
        assert (question.asked == question.mask).all()


def test_in_context_form_both_media_ask_alone() -> None:
    rng = np.random.default_rng(0)
    question, media = draw_alone(CONTEXT, rng)
    assert media == (0, 1)
    assert question.sees == (False, False)
    assert question.asked[LAYOUT.image_slice].any()
    assert question.asked[LAYOUT.audio_slice].any()
