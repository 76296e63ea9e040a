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
