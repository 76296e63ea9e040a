"""Renders composed clips with FluidSynth: many in one MIDI file, cut apart afterwards."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training.data.composition import CLIP_SECONDS, Score, Voice, compose

RENDER_RATE = 44_100  # the soundfont's own rate: rendering lower would alias its bright sounds
CLIP_RATE = 22_050
CLIP_SAMPLES = round(CLIP_SECONDS * CLIP_RATE)
BATCH = 20  # clips per call: loading the soundfont is shared, and little is lost at an interruption

_SETUP_SECONDS = 0.1  # program and controllers are set this long before a clip's first sample
# A clip and the silence in which its reverberation dies away: whole milliseconds and a multiple of
# FluidSynth's 64-sample blocks, so that a clip sounds the same in every slot.
_SLOT_SECONDS = 7.04
_FADE_SAMPLES = 64  # 3 ms, against a click where the clip is cut
_TICKS_PER_SECOND = 1000


def every_voice() -> dict[str, Voice]:
    """Everything that a General MIDI soundfont plays, by name: its programs, and its percussion."""
    voices = {f"program {n}": Voice(programs=(n,)) for n in range(128)}
    drums = range(35, 82)  # General MIDI's percussion map
    return voices | {f"percussion {n}": Voice(keys=tuple(drums[n::8])) for n in range(8)}


def check_renderer(soundfont: Path) -> None:
    """Raise an InputError that names the Debian package if rendering cannot work."""
    if shutil.which("fluidsynth") is None:
        raise InputError("the program fluidsynth is missing; install the Debian package fluidsynth")
    if not soundfont.is_file():
        raise InputError(
            f"the soundfont {soundfont} is missing; install the Debian package fluid-soundfont-gm "
            "or name another with --soundfont"
        )


def is_rendered(path: Path) -> bool:
    """Whether ``path`` holds a whole rendering already."""
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError):
        return False
    return (info.frames, info.samplerate, info.channels) == (CLIP_SAMPLES, CLIP_RATE, 1)


def render_missing(
    label: str, voices: Sequence[Voice], seeds: Sequence[int], folder: Path, soundfont: Path
) -> Iterator[tuple[Path, str | None]]:
    """Render ``<seed>.flac``, in turn with each voice, for each seed that has no good file yet.

    Yields:
        each path when it is there, with None, or with the reason why it could not be made.
    """
    missing = []
    for seed in seeds:
        path = folder / f"{seed}.flac"
        if is_rendered(path):
            yield path, None
        else:
            missing.append((seed, path))
    for first in range(0, len(missing), BATCH):
        batch = missing[first : first + BATCH]
        # In turn, and so that each eighth seed has not always the same voice.
        turns = [(seed + seed // 8) % len(voices) for seed, _ in batch]
        scores = [
            compose(label, voices[turn], seed) for turn, (seed, _) in zip(turns, batch, strict=True)
        ]
        for (_, path), score, samples in zip(batch, scores, render(scores, soundfont), strict=True):
            if score.old_record is not None:
                samples = aged(samples, CLIP_RATE, score.old_record)
            peak = float(np.abs(samples).max())
            if peak < 1e-4:
                yield path, f"program {score.program} of bank {score.bank} is silent in {soundfont}"
                continue
            levelled, flac = samples * (10 ** (score.peak_db / 20) / peak), io.BytesIO()
            soundfile.write(flac, levelled, CLIP_RATE, format="FLAC", subtype="PCM_16")
            with written(path) as partial:
                partial.write_bytes(flac.getvalue())
            yield path, None


def render(scores: Sequence[Score], soundfont: Path) -> list[NDArray[np.float32]]:
    """Render each score to CLIP_SAMPLES mono samples, at the synthesizer's own level."""
    with tempfile.TemporaryDirectory(prefix="echoes-") as folder:
        midi, wave = Path(folder, "clips.mid"), Path(folder, "clips.wav")
        _midi_file(scores).save(midi)
        _run_fluidsynth(midi, wave, soundfont)
        stereo, rate = soundfile.read(wave, dtype="float32", always_2d=True)
    clips = []
    for slot in range(len(scores)):
        start = round((slot * _SLOT_SECONDS + _SETUP_SECONDS) * rate)
        piece = stereo[start : start + round(CLIP_SECONDS * rate)].mean(axis=1)
        clip = soxr.resample(piece, rate, CLIP_RATE)[:CLIP_SAMPLES]
        clip = np.pad(clip, (0, CLIP_SAMPLES - len(clip)))
        clip[-_FADE_SAMPLES:] *= np.linspace(1, 0, _FADE_SAMPLES, dtype=np.float32)
        clips.append(clip)
    return clips


def _midi_file(scores: Sequence[Score]) -> mido.MidiFile:
    timed: list[tuple[int, int, mido.Message]] = []  # tick, order within the tick, message

    def at(seconds: float, order: int, kind: str, **values: int) -> None:
        tick = round(seconds * _TICKS_PER_SECOND)
        timed.append((tick, order, mido.Message(kind, channel=channel, **values)))

    for slot, score in enumerate(scores):
        setup = slot * _SLOT_SECONDS
        begin = setup + _SETUP_SECONDS
        channel = 9 if score.percussion else 0
        at(setup, 0, "control_change", control=0, value=score.bank)
        at(setup, 1, "program_change", program=score.program)
        at(setup, 2, "control_change", control=91, value=score.reverb)
        at(setup, 2, "control_change", control=1, value=score.vibrato)
        for note in score.notes:
            at(begin + note.start + note.duration, 3, "note_off", note=note.key)
            at(begin + note.start, 4, "note_on", note=note.key, velocity=note.velocity)
        at(begin + CLIP_SECONDS + 0.05, 5, "control_change", control=120, value=0)  # all sound off
    end = round(len(scores) * _SLOT_SECONDS * _TICKS_PER_SECOND)

    track = mido.MidiTrack()
    now = 0
    for tick, _, message in sorted(timed, key=lambda item: item[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=end - now))
    # At MIDI's default tempo a beat lasts half a second.
    midi = mido.MidiFile(ticks_per_beat=_TICKS_PER_SECOND // 2)
    midi.tracks.append(track)
    return midi


def _run_fluidsynth(midi: Path, wave: Path, soundfont: Path) -> None:
    options = {
        "synth.dynamic-sample-loading": 1,  # read only the samples that are played
        "synth.midi-bank-select": "gs",  # controller 0 alone chooses the bank
        "synth.chorus.active": 0,  # its phase would depend on the clip's place in the file
        "synth.gain": 0.5,
    }
    command = ["fluidsynth", "-ni", "-q", "-r", str(RENDER_RATE)]
    command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    command += ["-T", "wav", "-O", "float", "-F", str(wave), str(soundfont), str(midi)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"cannot run fluidsynth: {error}") from error
    # A soundfont that cannot be read is reported, but the exit status stays 0.
    said = done.stderr + done.stdout
    complaints = [line for line in said.splitlines() if "error" in line]
    if done.returncode != 0 or complaints or not wave.is_file():
        reason = "; ".join(complaints) or f"exit status {done.returncode}"
        raise InputError(f"fluidsynth could not render with {soundfont}: {reason}")


BAND_HZ = (250.0, 3800.0)
HISS_DB = -45.0
"""Below the music; at -34 dB the hiss is heard as rain."""
CLICKS_PER_SECOND = (5.0, 10.0)

Samples = NDArray[np.float32]


def aged(samples: Samples, sample_rate: int, seed: int) -> Samples:
    """(S,) to (S,): band-passed, slightly saturated, with hiss and clicks that ``seed`` varies."""
    rng = np.random.default_rng(seed)
    level = float(np.sqrt(np.square(samples).mean())) + 1e-9
    low, high = (edge * float(rng.uniform(0.85, 1.15)) for edge in BAND_HZ)
    music = _band(samples, sample_rate, low, high)
    music = np.tanh(music / level * 0.5) * level * 2
    hiss = _band(rng.standard_normal(len(samples)), sample_rate, low, high)
    hiss *= level * 10 ** ((HISS_DB + rng.uniform(-4, 2)) / 20) / float(hiss.std())
    seconds = len(samples) / sample_rate
    clicks = np.zeros(len(samples))
    count = int(rng.uniform(*CLICKS_PER_SECOND) * seconds)
    places = rng.integers(0, len(samples), count)
    clicks[places] = rng.uniform(0.5, 2.5, count) * rng.choice((-1, 1), count) * level
    clicks = 2 * _band(clicks, sample_rate, low, high)
    return (music + hiss + clicks).astype(np.float32)


def _band(samples: NDArray[np.floating], rate: int, low: float, high: float) -> NDArray[np.float64]:
    """Second-order slopes on either side, without phase: what a horn and a needle let through."""
    hz = np.maximum(np.fft.rfftfreq(len(samples), 1 / rate), 1e-3)
    gain = 1 / np.sqrt((1 + (low / hz) ** 4) * (1 + (hz / high) ** 4))
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))
