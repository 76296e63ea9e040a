"""What is trained on begins with its event, and long silences are taken out of it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from echoes_training.data.audio import FRAME_S, LONGEST_S, events_first

RATE = 8000


def noise(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def padded(before: float, heard: float, after: float) -> NDArray[np.float32]:
    parts = np.zeros(round(before * RATE)), noise(heard), np.zeros(round(after * RATE))
    return np.concatenate(parts).astype(np.float32)


def heard_s(samples: NDArray[np.float32]) -> tuple[float, float]:
    """Where the first and the last sample that can be heard are, in seconds."""
    places = np.flatnonzero(np.abs(samples) > 1e-3)
    return float(places[0]) / RATE, float(places[-1]) / RATE


@pytest.mark.parametrize("parts", [(0.2, 0.5, 4.3), (4.0, 1.0, 0.0), (2.0, 0.5, 2.5)])
def test_event_in_silence_comes_first(parts: tuple[float, float, float]) -> None:
    given = padded(*parts)
    moved = events_first(given, RATE)
    assert moved.shape == given.shape
    assert moved.dtype == np.float32
    first, last = heard_s(moved)
    assert first < FRAME_S
    assert last == pytest.approx(parts[1], abs=2 * FRAME_S)


def test_long_pause_between_events_is_cut_down() -> None:
    two = np.concatenate([noise(0.5), np.zeros(3 * RATE, np.float32), noise(0.5)])
    moved = events_first(two, RATE)
    assert heard_s(moved)[1] == pytest.approx(1.0 + LONGEST_S, abs=2 * FRAME_S)
    np.testing.assert_array_equal(moved[: RATE // 2], two[: RATE // 2])


def test_sound_without_long_silence_stays_as_it_is() -> None:
    steady = noise(3.0)
    assert events_first(steady, RATE) is steady
    barks = np.concatenate([padded(0.0, 0.4, 0.5)] * 3)
    np.testing.assert_array_equal(events_first(barks, RATE)[: len(barks)], barks)


def test_silence_alone_stays() -> None:
    nothing = np.zeros(RATE, np.float32)
    np.testing.assert_array_equal(events_first(nothing, RATE), nothing)


def test_quiet_recording_is_measured_against_itself() -> None:
    quiet = padded(2.0, 0.5, 2.5) * np.float32(1e-3)
    moved = events_first(quiet, RATE)
    assert np.abs(moved[: RATE // 2]).max() == np.abs(quiet).max()
