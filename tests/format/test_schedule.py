import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoes_rt.format.sampling import mask_ratio, num_masked


def test_ratio_falls_from_one_to_zero() -> None:
    assert mask_ratio(0.0) == 1.0
    assert mask_ratio(1.0) == pytest.approx(0.0, abs=1e-15)


@given(st.data(), st.integers(1, 600))
def test_counts_fall_strictly_to_zero(data: st.DataObject, n_tokens: int) -> None:
    steps = data.draw(st.integers(1, n_tokens))
    counts = [n_tokens, *num_masked(n_tokens, steps)]
    assert len(counts) == steps + 1
    assert counts[-1] == 0
    assert all(after < before for before, after in itertools.pairwise(counts))


@pytest.mark.parametrize("steps", [0, -1, 9])
def test_steps_out_of_range_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=rf"steps must be in \[1, 8\], got {steps}"):
        num_masked(8, steps)


def test_counts_match_the_golden_file(golden: Callable[[str], Any]) -> None:
    for case in golden("schedule")["num_masked"]:
        assert num_masked(case["n_tokens"], case["steps"]) == case["kept"]
