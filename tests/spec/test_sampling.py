import math
from typing import Any

import pytest

from echoes_rt.spec.sampling import SamplingDefaults


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 0}, r"steps must be at least 1, got 0"),
        ({"guidance_scale": -0.1}, r"guidance_scale must be in \[0, 100\], got -0.1"),
        ({"temperature": 11.0}, r"temperature must be in \[0, 10\], got 11"),
        ({"choice_temperature": math.inf}, r"choice_temperature must be in \[0, 100\], got inf"),
        ({"temperature": math.nan}, r"temperature must be in \[0, 10\], got nan"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SamplingDefaults(**change)


def test_the_line_for_people_names_what_is_not_usual() -> None:
    assert str(SamplingDefaults(steps=8, guidance_interval=(0.0, 0.5))) == (
        "8 steps, guidance scale 3 from 0% to 50% of them, temperature 1, choice temperature 4.5"
    )
    assert str(SamplingDefaults(guidance_schedule="annealed")).startswith(
        "12 steps, annealed guidance scale 3, temperature 1"
    )
