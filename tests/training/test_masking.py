import dataclasses

import numpy as np

from echoes_training.masking import draw_mask, draw_single_mask
from echoes_training.presets import PRESETS

CONFIG = PRESETS["mini"].transformer
LAYOUT = CONFIG.layout


def draw_many(masking: str, count: int = 2000) -> np.ndarray:
    config = dataclasses.replace(CONFIG, masking=masking)
    rng = np.random.default_rng(0)
    return np.stack([draw_mask(config, rng) for _ in range(count)])


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
    for _ in range(50):
        mask = draw_single_mask(LAYOUT, LAYOUT.audio_slice, rng)
        assert mask[LAYOUT.image_slice].all()
        assert mask[LAYOUT.audio_slice].any()
