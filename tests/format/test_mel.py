import re
from pathlib import Path
from typing import Any

import pytest

from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec, hann_window

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        (MelSpec, {"hop_length": 0}),
        (MelSpec, {"win_length": 2048}),
        (MelSpec, {"hop_length": 300}),
        (MelSpec, {"f_max": 20_000.0}),
        (MelSpec, {"f_min": 7600.0}),
        (ImageSpec, {"height": 0}),
        (ImageSpec, {"width": -1}),
        (ImageSpec, {"mean": (0.5, 0.5)}),
        (ImageSpec, {"std": (0.5, 0.5, 0.0)}),
    ],
)
def test_impossible_values_are_refused(spec: Any, change: dict[str, Any]) -> None:
    spec()
    with pytest.raises(ValueError, match=r"."):
        spec(**change)


def test_window_is_periodic_and_centred() -> None:
    window = hann_window(MelSpec(n_fft=1024, win_length=512))
    assert window.shape == (1024,)
    assert (window[:256] == 0).all()
    assert (window[768:] == 0).all()
    assert window[512] == 1.0


def test_mel_numbers_have_no_second_home() -> None:
    pattern = re.compile(r"\b(hop_length|sample_rate|n_fft|n_mels|f_min|f_max)(: int)? ?= ?\d")
    for folder in ("runtime", "training", "export"):
        for path in (ROOT / folder).rglob("*.py"):
            # Presets choose the numbers of a new model; those of av_metrics are of other networks.
            if path.parent.name not in ("format", "av_metrics") and path.name != "presets.py":
                assert not pattern.search(path.read_text("utf-8")), path
