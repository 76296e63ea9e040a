import sys
from pathlib import Path

import numpy as np
import pytest

from echoes_rt.errors import InputError
from echoes_training.evaluate.ear import Ear

RATE = 22_050


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def test_what_is_heard_is_counted_exactly_by_family_and_by_label(ear_folder: Path) -> None:
    sounds = [
        ("low", tone(200)),
        ("low", tone(6000)),
        ("high", 0.01 * tone(6000)),  # loudness does not count
        ("high", np.zeros(RATE, np.float32)),
        ("oddity", tone(200)),
    ]
    found = Ear(ear_folder).judge(sounds, RATE)
    assert found.per_label == {"low": (1, 2, 2), "oddity": (0, 1, 1), "high": (1, 1, 2)}
    assert found.confusion["high"] == {"hiss": 1, "nothing": 1}
    assert found.exact == 0.5  # the oddity has no exact answer
    assert found.coarse == pytest.approx(4 / 5)


def test_the_first_five_seconds_are_heard(ear_folder: Path) -> None:
    late = np.concatenate([np.zeros(6 * RATE, np.float32), tone(200)])
    assert Ear(ear_folder).judge([("low", late)], RATE).exact == 0
    early = np.concatenate([np.zeros(4 * RATE, np.float32), tone(200)])
    assert Ear(ear_folder).judge([("low", early)], RATE).exact == 1


def test_a_missing_part_or_package_is_said(
    ear_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="does not know the label 'cat'; it knows high"):
        Ear(ear_folder).judge([("cat", tone(200))], RATE)
    for text in ("{", "{}", '{"heard": {}}'):
        (ear_folder / "groups.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"cannot read the ear|lacks"):
            Ear(ear_folder)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(InputError, match="ai-edge-litert"):
        Ear(ear_folder)
