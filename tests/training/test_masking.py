import dataclasses

import numpy as np
import pytest

from echoes_rt.decode.plan import make_plan
from echoes_rt.format.sampling import Sampling
from echoes_training.masking import SPAN, draw_alone, draw_question, draw_state
from echoes_training.presets import PRESETS

CONTEXT = PRESETS["mini"].transformer
CONFIG = dataclasses.replace(CONTEXT, model=dataclasses.replace(CONTEXT.model, form="joint"))
LAYOUT = CONFIG.layout


def draw_many(masking: str, count: int = 2000) -> np.ndarray:
    config = dataclasses.replace(CONFIG, masking=masking)
    rng = np.random.default_rng(0)
    return np.stack([draw_question(config, rng).mask for _ in range(count)])


def test_independent_ratios_ask_every_question_of_decoding() -> None:
    masks = draw_many("independent")
    assert masks.any(axis=1).all()
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
        assert not (question.asked & ~question.mask).any()
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
        context = (LAYOUT.audio_slice, LAYOUT.image_slice)[question.sees.index(True)]
        assert not question.mask[context].any()


def test_targets_are_in_states_that_decoding_comes_through() -> None:
    grid, rng = LAYOUT.audio, np.random.default_rng(0)
    place = np.empty(grid.n_tokens, np.int64)
    place[list(grid.order)] = np.arange(grid.n_tokens)
    states = [draw_state(grid, 0.0, 0.0, rng) for _ in range(300)]
    for hidden, asked in states:
        drawn, later = place[asked], place[hidden & ~asked]
        assert place[~hidden].max(initial=-1) < drawn.min()
        assert drawn.max() < later.min(initial=grid.n_tokens)
    # The passes of a decoding are among them, and each draws no more than is asked for.
    steps = round(1 / SPAN) * 4
    plan = make_plan(np.ones((1, grid.n_tokens), np.bool_), grid.order, Sampling(steps=steps))
    n_hidden = np.array([hidden.sum() for hidden, _ in states])
    left = grid.n_tokens
    for drawn in plan.positions[:, 0]:
        nearest = int(np.abs(n_hidden - left).argmin())
        assert abs(n_hidden[nearest] - left) <= 3
        n_drawn = int((drawn < grid.n_tokens).sum())
        assert states[nearest][1].sum() >= n_drawn - 3
        left -= n_drawn
    assert left == 0


def test_half_of_what_is_asked_for_has_most_of_its_target_known() -> None:
    grid, rng = LAYOUT.audio, np.random.default_rng(0)
    known = np.concatenate(
        [
            np.full(asked.sum(), 1 - hidden.mean())
            for hidden, asked in (draw_state(grid, 0.0, 0.0, rng) for _ in range(1000))
        ]
    )
    assert 0.3 < np.median(known) < 0.6


def test_nothing_is_known_as_often_as_is_said_and_a_part_may_be_given() -> None:
    grid, rng = LAYOUT.audio, np.random.default_rng(0)
    whole = [draw_state(grid, 0.0, 0.7, rng)[0].all() for _ in range(400)]
    assert np.mean(whole) == pytest.approx(0.7, abs=0.1)
    given = [draw_state(grid, 1.0, 1.0, rng)[0].mean() for _ in range(400)]
    assert np.mean(given) < 0.7


def test_in_context_form_both_media_ask_alone() -> None:
    rng = np.random.default_rng(0)
    question, media = draw_alone(CONTEXT, rng)
    assert media == (0, 1)
    assert question.sees == (False, False)
    assert question.asked[LAYOUT.image_slice].any()
    assert question.asked[LAYOUT.audio_slice].any()
