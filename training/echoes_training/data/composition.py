"""Random short music and effects for General MIDI voices, as lists of notes."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from echoes_training.data import styles
from echoes_training.data.player import CLIP_SECONDS, Note, Player

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
        styles.metronome(player, voice.keys)
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
        return styles.mandolin, (55, 88), 0
    if program == 58:  # the tuba, an octave up: a euphonium's range
        return styles.phrase, (38, 65), 20
    if program in range(64, 68):  # soprano, alto, tenor and baritone saxophone
        low = (56, 49, 44, 37)[program - 64]
        return styles.phrase, (low, low + 29), 50
    effects = {
        123: styles.birds,
        124: styles.telephone,
        126: styles.applause,
        127: styles.gun_shots,
    }
    if program in effects:
        return effects[program], (0, 127), 0
    if program == 14:
        return styles.tolling, (48, 77), 0
    families = (
        (range(0, 8), styles.piano, (36, 96)),
        (range(16, 24), styles.accordion, (41, 89)),
        (range(24, 32), styles.guitar, (40, 79)),
    )
    for programs, style, register in families:
        if program in programs:
            return style, register, 0
    return styles.phrase, (48, 84), 30
