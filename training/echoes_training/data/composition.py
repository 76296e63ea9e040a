"""Random short music and effects for General MIDI voices, as lists of notes."""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

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

    def steps(self, start: float, length: float, pulse: float) -> Iterator[tuple[int, float]]:
        """The number and the time of each pulse of a stretch, one at least."""
        return ((i, start + i * pulse) for i in range(max(1, round(length / pulse))))

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
            half = player.beat / 2
            for step, time in player.steps(start, length, half):
                player.add(time, half + ring, keys[order[step % 4]], accent=-12)
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
            for _, time in player.steps(start, length, player.beat):
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
            for _, time in player.steps(start, length, player.beat / 2):
                player.add(time, length, int(player.rng.choice(keys)))


def power_chords(player: Player) -> None:
    pulse = player.beat * float(player.rng.choice((0.5, 0.5, 1.0)))
    held = float(player.rng.uniform(0.4, 1.0))
    for start, length, degree in player.bars():
        root = player.chord(degree, player.low)[0]
        for step, time in player.steps(start, length, pulse):
            if step and player.rng.random() < 0.15:
                continue
            for key in (root, root + 7, root + 12):
                player.add(time, pulse * held, key)


def strums(player: Player) -> None:
    pulse = player.beat * float(player.rng.choice((0.5, 1.0)))
    for start, length, degree in player.bars():
        triad = player.chord(degree, player.low)
        keys = [triad[0], triad[2], *(key + 12 for key in triad), triad[0] + 24]
        for step, time in player.steps(start, length, pulse):
            if step and player.rng.random() < 0.2:
                continue
            spread = float(player.rng.uniform(0.008, 0.025))
            for string, key in enumerate(keys if step % 2 == 0 else keys[::-1]):
                player.add(time + string * spread, pulse * 0.95, key)


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


Style = Callable[[Player], None]


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What a class may be played with: one of ``programs`` of ``bank``, or percussion ``keys``.

    ``old_record``: heard from a worn shellac record.
    """

    programs: tuple[int, ...] = ()
    bank: int = 0
    keys: tuple[int, ...] = ()
    old_record: bool = False


def parse_voice(text: str) -> Voice:
    """Read the audio key of a soundfont class.

    Understood are ``program 21``, ``programs 26-30``, ``bank 16 program 25`` and
    ``percussion keys 33 34``; what follows is a remark, but for ``through an old record``. Programs
    count from 0.

    Raises:
        ValueError: if it is none of these.
    """
    if match := re.match(r"percussion keys((?: \d+)+)", text):
        voice = Voice(keys=tuple(int(key) for key in match[1].split()))
    elif match := re.match(r"(?:bank (\d+) )?programs? (\d+)(?:-(\d+))?", text):
        first, last = int(match[2]), int(match[3] or match[2])
        voice = Voice(
            programs=tuple(range(first, last + 1)),
            bank=int(match[1] or 0),
            old_record=text.endswith("through an old record"),
        )
    else:
        raise ValueError(
            f"cannot read the soundfont key {text!r}; write `program 21`, `programs 26-30`, "
            "`bank 16 program 25` or `percussion keys 33 34`"
        )
    numbers = (*voice.programs, *voice.keys, voice.bank)
    if len(numbers) == 1 or max(numbers) > 127:
        raise ValueError(f"soundfont programs, banks and keys are 0 to 127, got {text!r}")
    return voice


@dataclass(frozen=True, kw_only=True)
class Score:
    """All that is needed to render one clip."""

    notes: tuple[Note, ...]
    program: int
    bank: int
    percussion: bool
    reverb: int  # send level, 0 to 127
    vibrato: int  # modulation wheel, 0 to 127
    peak_db: float  # level of the loudest sample of the finished clip
    old_record: int | None = None  # seed of the wear of a record, if it is heard from one


def compose(label: str, voice: Voice, seed: int) -> Score:
    """Compose the clip of a label and a seed: the same arguments give the same notes."""
    rng = np.random.default_rng([zlib.crc32(label.encode()), seed])
    program = int(rng.choice(voice.programs)) if voice.programs else 0
    if voice.keys:
        player = Player(rng, (0, 127))
        metronome(player, voice.keys)
        vibrato = 0
    else:
        style, register, max_vibrato = _style(voice.bank, program)
        player = Player(rng, register)
        style(player)
        vibrato = int(rng.integers(0, max_vibrato + 1))
    return Score(
        notes=_struck_anew(player.notes),
        program=program,
        bank=voice.bank,
        percussion=bool(voice.keys),
        reverb=int(rng.integers(0, 90)),
        vibrato=vibrato,
        peak_db=float(rng.uniform(-12, -1)),
        old_record=seed if voice.old_record else None,
    )


def _struck_anew(notes: Sequence[Note]) -> tuple[Note, ...]:
    """End each note where its key is struck again, else its end would silence the later one."""
    result: list[Note] = []
    following: dict[int, float] = {}
    for note in sorted(notes, key=lambda note: note.start, reverse=True):
        room = following.get(note.key, CLIP_SECONDS) - note.start
        if room > 0:  # of two at once, one is enough
            result.append(replace(note, duration=min(note.duration, room)))
            following[note.key] = note.start
    return tuple(reversed(result))


def _style(bank: int, program: int) -> tuple[Style, tuple[int, int], int]:
    """How a program is played: style, register (lowest and highest key) and most vibrato."""
    if (bank, program) == (16, 25):
        return mandolin, (55, 88), 0
    if program == 58:  # the tuba, an octave up: a euphonium's range
        return phrase, (38, 65), 20
    if program in range(64, 68):  # soprano, alto, tenor and baritone saxophone
        low = (56, 49, 44, 37)[program - 64]
        return phrase, (low, low + 29), 50
    effects = {
        123: birds,
        124: telephone,
        126: applause,
        127: gun_shots,
    }
    if program in effects:
        return effects[program], (0, 127), 0
    if program == 14:
        return tolling, (48, 77), 0
    families = (
        (range(0, 8), piano, (36, 96)),
        (range(16, 24), accordion, (41, 89)),
        (range(24, 32), guitar, (40, 79)),
    )
    for programs, style, register in families:
        if program in programs:
            return style, register, 0
    return phrase, (48, 84), 30
