"""Long silences are taken out of what is trained on."""

import numpy as np
import pytest
from numpy.typing import NDArray

from echoes_training.data.silence import LONGEST_S, without_silence

RATE = 8000


def noise(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def padded(before: float, heard: float, after: float) -> NDArray[np.float32]:
    parts = np.zeros(round(before * RATE)), noise(heard), np.zeros(round(after * RATE))
    return np.concatenate(parts).astype(np.float32)


def quiet_run_s(samples: NDArray[np.float32]) -> float:
    """Length of the longest stretch of near silence."""
    edges = np.flatnonzero(np.abs(np.concatenate([[1], samples, [1]])) > 1e-3)
    return float(np.diff(edges).max()) / RATE


@pytest.mark.parametrize("parts", [(0, 0.5, 4.5), (4.0, 1.0, 0.0), (2.0, 0.5, 2.5)])
def test_event_in_silence_is_repeated(parts: tuple[float, float, float]) -> None:
    given = padded(*parts)
    filled = without_silence(given, RATE)
    assert filled.shape == given.shape
    assert filled.dtype == np.float32
    # Two halves of a pause may meet where the sound is repeated.
    assert quiet_run_s(filled) < 2 * LONGEST_S + 0.01
    loud = np.abs(filled) > 1e-3
    assert loud.mean() > 2 * (np.abs(given) > 1e-3).mean()


def test_sound_without_long_silence_stays_as_it_is() -> None:
    steady = noise(3.0)
    assert without_silence(steady, RATE) is steady
    barks = np.concatenate([padded(0.0, 0.4, 0.5)] * 3)
    np.testing.assert_array_equal(without_silence(barks, RATE), barks)


def test_silence_alone_stays() -> None:
    nothing = np.zeros(RATE, np.float32)
    np.testing.assert_array_equal(without_silence(nothing, RATE), nothing)


def test_quiet_recording_is_measured_against_itself() -> None:
    quiet = padded(0, 0.5, 4.5) * np.float32(1e-3)
    assert (np.abs(without_silence(quiet, RATE)) > 1e-6).mean() > 0.3
