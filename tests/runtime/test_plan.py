import numpy as np

from echoes_rt.decode.plan import known_media, make_plan
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.spec.schedule import num_masked
from echoes_rt.spec.tokens import Grid, TokenLayout

LAYOUT = TokenLayout(
    image=Grid(height=1, width=2, codebook_size=4), audio=Grid(height=1, width=4, codebook_size=4)
)


def test_each_member_follows_the_schedule_of_its_own_unknown_tokens() -> None:
    mask = np.zeros((3, 40), dtype=bool)
    mask[0, :40] = mask[1, :9] = True
    plan = make_plan(mask, SamplingDefaults(steps=5))
    assert plan.keep[:, 0].tolist() == num_masked(40, 5)
    assert plan.keep[:, 1].tolist() == num_masked(9, 5)
    assert plan.keep[:, 2].tolist() == [0] * 5


def test_member_with_fewer_unknown_tokens_than_steps_ends_early() -> None:
    mask = np.array([[True, True, False, False]])
    assert make_plan(mask, SamplingDefaults(steps=4)).keep[:, 0].tolist() == [1, 0, 0, 0]


def test_choice_temperature_falls_linearly_to_zero() -> None:
    plan = make_plan(np.ones((1, 8), dtype=bool), SamplingDefaults(steps=4, choice_temperature=8.0))
    assert plan.choice_temperature.tolist() == [6.0, 4.0, 2.0, 0.0]
    assert plan.temperature.tolist() == [1.0] * 4
    assert plan.guidance_scale.tolist() == [3.0] * 4


def test_condition_is_the_media_known_in_full() -> None:
    known, asked = [False] * 2, [True] * 4
    mask = np.array([known + asked, [True, False, *known, *known], known * 3, [True] * 6])
    expected = [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0] * 6, [0] * 6]
    assert known_media(mask, LAYOUT).astype(int).tolist() == expected
