import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.make_fixtures import write_golden

from echoes_rt.format.sampling import Sampling, num_masked

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1001}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"guidance_scale": -0.1}, "guidance_scale"),
        ({"temperature": 11.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"guidance_schedule": "falling"}, "guidance_schedule"),
        ({"guidance_interval": (0.5, 1.5)}, "guidance_interval"),
        ({"guidance_interval": (0.5, 0.25)}, "guidance_interval"),
        ({"guidance": "gone"}, "guidance"),
        ({"guidance": "folded"}, "guidance_scale must be 1"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        Sampling(**change)


def test_numbers_of_any_kind_are_taken_as_what_they_mean() -> None:
    sampling = Sampling(steps=np.int64(4), temperature=1, guidance_interval=[0, 0.5])
    assert (sampling.steps, sampling.guidance_interval) == (4, (0.0, 0.5))
    assert type(sampling.steps) is int
    assert type(sampling.temperature) is float


def test_the_line_for_people_names_what_is_not_usual() -> None:
    assert str(Sampling(steps=8, guidance_interval=(0.0, 0.5))) == (
        "8 steps, guidance scale 3 from 0% to 50% of them, temperature 1"
    )
    assert str(Sampling(guidance_schedule="annealed")).startswith("12 steps, annealed guidance")
    folded = Sampling(steps=4, guidance_scale=1, guidance="folded")
    assert str(folded) == "4 steps, guidance folded in, temperature 1"


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


def test_golden_files_are_rewritten_byte_for_byte(tmp_path: Path) -> None:
    write_golden(tmp_path)
    written, kept = (
        {path.name: path.read_text("utf-8") for path in folder.iterdir()}
        for folder in (tmp_path, GOLDEN)
    )
    assert written == kept
