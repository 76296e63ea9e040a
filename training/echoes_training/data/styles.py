"""How each kind of instrument plays: every style adds its notes to a player."""

from collections.abc import Sequence

import numpy as np

from echoes_training.data.player import CLIP_SECONDS, Player

_PEDAL_SECONDS = 0.6  # how long a piano's notes ring on


def phrase(player: Player) -> None:
    """One voice that breathes: winds, brass, and whatever has no style of its own."""
    centre = int(player.rng.integers(player.low + 8, player.high - 7))
    joined = player.rng.uniform(0.7, 1.0)
    for start, length, key in player.line(
        max(player.low, centre - 11), min(player.high, centre + 11), rest=0.08
    ):
        player.add(start, length * joined, key)


def piano(player: Player) -> None:
    rng = player.rng
    left, ring = int(rng.integers(4)), float(rng.choice((0.0, _PEDAL_SECONDS)))
    for start, length, degree in player.bars():
        keys = player.chord(degree, player.low + int(rng.integers(0, 12)), size=3)
        if left == 0:
            for key in keys:
                player.add(start, length, key, accent=-12)
        elif left == 1:
            for key in (keys[0] - 12, keys[0]):
                player.add(start, length, key, accent=-6)
        else:
            order = (0, 1, 2, 1) if left == 2 else (0, 2, 1, 2)
            for step in range(max(1, round(length / (player.beat / 2)))):
                key = keys[order[step % 4]]
                player.add(start + step * player.beat / 2, player.beat / 2 + ring, key, accent=-12)
    doubled = int(rng.choice((0, 0, 12, -3)))
    if rng.random() < 0.85:
        for start, length, key in player.line(60, min(player.high, int(rng.integers(76, 97)))):
            player.add(start, length + ring, key)
            if doubled:
                player.add(start, length + ring, player.nearest(key + doubled), accent=-8)


def accordion(player: Player) -> None:
    rng = player.rng
    left = int(rng.integers(3))
    for start, length, degree in player.bars():
        keys = player.chord(degree, 53)
        if left == 0:
            for key in keys:
                player.add(start, length * 0.97, key, accent=-14)
        elif left == 1:
            beats = max(1, round(length / player.beat))
            for step in range(beats):
                time = start + step * player.beat
                player.add(time, player.beat * 0.4, keys[0] - 12, accent=-6)
                for key in keys:
                    player.add(time + player.beat / 2, player.beat * 0.3, key, accent=-14)
    thirds = rng.random() < 0.4
    for start, length, key in player.line(60, player.high, rest=0.05):
        player.add(start, length * 0.95, key)
        if thirds:
            player.add(start, length * 0.95, player.nearest(key - 3), accent=-6)


def guitar(player: Player) -> None:
    style = int(player.rng.integers(4))
    if style == 0:
        low = int(player.rng.integers(player.low, 56))
        for start, length, key in player.line(low, low + 19):
            player.add(start, length * 0.95, key)
    elif style == 1:
        power_chords(player)
    elif style == 2:
        strums(player)
    else:
        for start, length, degree in player.bars():
            keys = [*player.chord(degree, 43, size=4), player.chord(degree, 55)[0]]
            half = player.beat / 2
            for step in range(max(1, round(length / half))):
                player.add(start + step * half, length, int(player.rng.choice(keys)))


def power_chords(player: Player) -> None:
    pulse = player.beat * float(player.rng.choice((0.5, 0.5, 1.0)))
    held = float(player.rng.uniform(0.4, 1.0))
    for start, length, degree in player.bars():
        root = player.chord(degree, player.low)[0]
        for step in range(max(1, round(length / pulse))):
            if step and player.rng.random() < 0.15:
                continue
            for key in (root, root + 7, root + 12):
                player.add(start + step * pulse, pulse * held, key)


def strums(player: Player) -> None:
    pulse = player.beat * float(player.rng.choice((0.5, 1.0)))
    for start, length, degree in player.bars():
        triad = player.chord(degree, player.low)
        keys = [triad[0], triad[2], *(key + 12 for key in triad), triad[0] + 24]
        for step in range(max(1, round(length / pulse))):
            if step and player.rng.random() < 0.2:
                continue
            spread = float(player.rng.uniform(0.008, 0.025))
            for string, key in enumerate(keys if step % 2 == 0 else keys[::-1]):
                player.add(start + step * pulse + string * spread, pulse * 0.95, key)


def mandolin(player: Player) -> None:
    rng = player.rng
    tremolo, rate = rng.random() < 0.55, float(rng.uniform(9, 14))
    double = rng.random() < 0.3
    player.beat *= 1.3 if tremolo else 0.8
    for start, length, key in player.line(player.low, player.high, rest=0.04):
        keys = (key, player.nearest(key + 4)) if double else (key,)
        strokes = max(1, round(length * rate)) if tremolo else 1
        for stroke in range(strokes):
            time = start + stroke * length / strokes
            for one in keys:
                player.add(time, length / strokes, one, accent=0 if stroke % 2 == 0 else -8)


def metronome(player: Player, keys: Sequence[int]) -> None:
    """A steady beat: one key, and at times another on the first beat of the bar."""
    rng = player.rng
    period = 60 / float(rng.uniform(40, 208))
    tick, accent = (int(key) for key in rng.choice(keys, size=2))
    bar = int(rng.choice((0, 0, 2, 3, 4)))
    player.loudness = int(rng.integers(80, 116))
    for count, start in enumerate(
        np.arange(rng.uniform(0, min(period, 0.6)), CLIP_SECONDS, period)
    ):
        strong = bar > 0 and count % bar == 0
        player.add(float(start), 0.2, accent if strong else tick, accent=12 if strong else 0)


def gun_shots(player: Player) -> None:
    rng = player.rng
    base = int(rng.integers(48, 72))
    player.loudness = 110
    time = float(rng.uniform(0, 0.5))
    while time < CLIP_SECONDS - 0.3:
        for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
            player.add(time, CLIP_SECONDS, base + int(rng.integers(-2, 3)))
            time += float(rng.uniform(0.18, 0.6))
        time += float(rng.uniform(0.3, 1.8))


def telephone(player: Player) -> None:
    """Rings in groups, with the same pause after each group."""
    rng = player.rng
    key = int(rng.integers(55, 80))
    rings, ring = int(rng.choice((1, 1, 2, 3))), float(rng.uniform(0.4, 1.4))
    gap, pause = float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.4, 1.2))
    time = player.first
    while time < CLIP_SECONDS:
        for _ in range(rings):
            player.add(time, ring, key)
            time += ring + gap
        time += pause


def birds(player: Player) -> None:
    """Bursts of tweets, each burst at its own pitch and pace."""
    rng = player.rng
    time = player.first
    while time < CLIP_SECONDS:
        key, pace = int(rng.integers(52, 84)), float(rng.uniform(0.12, 0.45))
        for _ in range(int(rng.integers(1, 7))):
            player.add(time, pace * float(rng.uniform(0.6, 1.2)), key + int(rng.integers(-1, 2)))
            time += pace
        time += float(rng.uniform(0.05, 0.5))


def applause(player: Player) -> None:
    """A crowd that swells and does not stop: long notes that overlap."""
    rng = player.rng
    player.loudness = 100
    time = 0.0
    while time < CLIP_SECONDS:
        length = float(rng.uniform(1.5, 4.0))
        player.add(time, length, int(rng.integers(48, 73)))
        time += length * float(rng.uniform(0.3, 0.8))


def tolling(player: Player) -> None:
    """One to three bells in turn; each rings on."""
    rng = player.rng
    keys = rng.integers(player.low, player.high + 1, size=int(rng.integers(1, 4)))
    pause = float(rng.uniform(0.5, 2.2))
    for count, start in enumerate(np.arange(player.first, CLIP_SECONDS, pause)):
        player.add(float(start), CLIP_SECONDS, int(keys[count % len(keys)]))
