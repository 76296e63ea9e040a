"""The materials of random music: a key, a tempo, scales, chords and melodies."""

from dataclasses import dataclass

import numpy as np

CLIP_SECONDS = 5.1  # a little more than the 5.02 s that a model hears at once

_SCALES = (
    (0, 2, 4, 5, 7, 9, 11),  # major, twice: most music is
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),  # natural minor
    (0, 2, 3, 5, 7, 8, 11),  # harmonic minor
    (0, 2, 3, 5, 7, 9, 10),  # dorian
    (0, 2, 4, 5, 7, 9, 10),  # mixolydian
)
_PROGRESSIONS = (
    (0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (1, 4, 0, 0),
    (5, 3, 0, 4), (0, 0, 3, 4), (0, 2, 3, 4),
)  # fmt: skip
_RHYTHMS = (
    (1.0,), (0.5, 0.5), (0.5, 0.5, 0.5, 0.5), (1.5, 0.5), (0.75, 0.25), (1 / 3, 1 / 3, 1 / 3),
    (0.25, 0.25, 0.5), (0.5, 0.25, 0.25), (0.25, 0.25, 0.25, 0.25), (2.0,),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Note:
    """Times in seconds from the start of the clip; key and velocity as in MIDI."""

    start: float
    duration: float
    key: int
    velocity: int


class Player:
    """Draws one piece: key, tempo and level are drawn at once, the styles add notes."""

    def __init__(self, rng: np.random.Generator, register: tuple[int, int]) -> None:
        self.rng = rng
        self.notes: list[Note] = []
        self.low, self.high = register
        self.tonic = int(rng.integers(12))
        self.scale = _SCALES[rng.integers(len(_SCALES))]
        self.beat = 60 / rng.uniform(66, 168)
        self.loudness = int(rng.integers(60, 116))
        self.first = float(rng.uniform(0, 0.35))
        self.chords = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
        self.chord_beats = float(rng.choice((1, 2, 2, 4)))

    def add(self, start: float, duration: float, key: int, accent: int = 0) -> None:
        if start < CLIP_SECONDS - 0.03:
            velocity = self.loudness + accent + int(self.rng.integers(-8, 9))
            duration = min(duration, CLIP_SECONDS - start)
            self.notes.append(
                Note(
                    start=start,
                    duration=max(duration, 0.03),
                    key=int(np.clip(key, 0, 127)),
                    velocity=int(np.clip(velocity, 20, 127)),
                )
            )

    def ladder(self, low: int, high: int) -> list[int]:
        """Every key of the scale from ``low`` to ``high``."""
        return [key for key in range(low, high + 1) if (key - self.tonic) % 12 in self.scale]

    def chord(self, degree: int, low: int, size: int = 3) -> list[int]:
        """``size`` keys in thirds on a degree of the scale, the root at ``low`` or above."""
        steps = [degree + 2 * third for third in range(size)]
        keys = [12 * (step // 7) + self.scale[step % 7] for step in steps]
        root = low + (self.tonic + keys[0] - low) % 12
        return [root + key - keys[0] for key in keys]

    def bars(self) -> list[tuple[float, float, int]]:
        """The chords of the clip as (start, length, degree)."""
        length = self.chord_beats * self.beat
        starts = np.arange(self.first, CLIP_SECONDS, length)
        return [(float(t), length, self.chords[i % 4]) for i, t in enumerate(starts)]

    def line(self, low: int, high: int, rest: float = 0.1) -> list[tuple[float, float, int]]:
        """A melody as (start, length, key): a random walk over the scale in a few rhythms."""
        rng = self.rng
        ladder = self.ladder(low, high)
        rung = int(rng.integers(len(ladder) // 4, 3 * len(ladder) // 4 + 1))
        cells = rng.choice(len(_RHYTHMS), size=3)
        melody: list[tuple[float, float, int]] = []
        time = self.first
        while time < CLIP_SECONDS:
            for beats in _RHYTHMS[int(rng.choice(cells))]:
                length = beats * self.beat
                if not melody or rng.random() >= rest:
                    melody.append((time, length, ladder[rung]))
                step = int(rng.choice((-4, -2, -1, -1, 0, 1, 1, 2, 4)))
                if not 0 <= rung + step < len(ladder):
                    step = -step
                rung += step
                time += length
        return melody

    def nearest(self, key: int) -> int:
        """The key of the scale that is closest to ``key``."""
        return min(self.ladder(key - 2, key + 2), key=lambda other: abs(other - key))
