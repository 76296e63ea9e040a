import numpy as np

from echoes_rt.decode.plan import make_plan, noise_of
from echoes_rt.format.sampling import Sampling, num_masked


def test_each_member_follows_the_schedule_of_its_own_unknown_tokens() -> None:
    mask = np.zeros((3, 40), dtype=bool)
    mask[0, :40] = mask[1, :9] = True
    plan = make_plan(mask, range(40), Sampling(steps=5))
    drawn = (plan.positions < 40).sum(axis=2)
    for member, unknown in enumerate((40, 9)):
        assert drawn[:, member].tolist() == (-np.diff([unknown, *num_masked(unknown, 5)])).tolist()
    assert drawn[:, 2].tolist() == [0] * 5
    assert plan.positions.shape[2] == drawn.max()


def test_unknown_tokens_are_drawn_in_the_order_given_and_once() -> None:
    order = np.random.default_rng(0).permutation(12).tolist()
    mask = np.arange(12)[None] % 3 != 0
    plan = make_plan(mask, order, Sampling(steps=3))
    drawn = [p for p in plan.positions[:, 0].ravel().tolist() if p < 12]
    assert drawn == [p for p in order if p % 3]


def test_member_with_fewer_unknown_tokens_than_steps_ends_early() -> None:
    plan = make_plan(np.array([[True, True, False, False]]), range(4), Sampling(steps=4))
    assert plan.positions.ravel().tolist() == [0, 1, 4, 4]


def test_nothing_unknown_is_a_plan_that_draws_nothing() -> None:
    plan = make_plan(np.zeros((2, 3), dtype=bool), range(3), Sampling(steps=2))
    assert (plan.positions == 3).all()


def test_the_noise_of_a_token_is_its_own_in_every_plan() -> None:
    noise = np.random.default_rng(0).random((1, 9)).astype(np.float32)
    for steps in (1, 3):
        plan = make_plan(np.ones((1, 9), dtype=bool), range(9), Sampling(steps=steps))
        drawn = noise_of(plan, noise)[plan.positions < 9]
        np.testing.assert_array_equal(drawn, noise[0])
