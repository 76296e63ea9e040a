import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoes_rt.errors import InputError
from echoes_training.data import soundfont as rendering
from echoes_training.data.composition import CLIP_SECONDS, Note, Score, Voice, compose, parse_voice
from echoes_training.data.prepare import DEFAULT_SOUNDFONT
from echoes_training.data.soundfont import aged

VOICES = {
    "accordion": Voice(programs=(21,)),
    "electric_guitar": Voice(programs=(26, 27, 28, 29, 30)),
    "grand_piano": Voice(programs=(0, 1)),
    "saxophone": Voice(programs=(64, 65, 66, 67)),
    "mandolin": Voice(programs=(25,), bank=16),
    "euphonium": Voice(programs=(58,)),
    "metronome": Voice(keys=(33, 34, 37, 76, 77)),
    "revolver": Voice(programs=(127,)),
    "cellphone": Voice(programs=(124,)),
    "pigeon": Voice(programs=(123,)),
    "violin": Voice(programs=(40,)),  # no style of its own
    "bells": Voice(programs=(14,)),
    "crowd": Voice(programs=(126,)),
    "old_record": Voice(programs=(56, 57), old_record=True),
}

needs_fluidsynth = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not DEFAULT_SOUNDFONT.is_file(),
    reason="needs the Debian packages fluidsynth and fluid-soundfont-gm",
)


def single(key: int, start: float, program: int = 0, bank: int = 0) -> Score:
    return Score(
        notes=(Note(start=start, duration=1.0, key=key, velocity=100),),
        program=program,
        bank=bank,
        percussion=False,
        reverb=127,
        vibrato=0,
        peak_db=-3.0,
    )


@pytest.mark.parametrize("label", VOICES)
def test_scores_are_seeded_varied_and_playable(label: str) -> None:
    scores = [compose(label, VOICES[label], seed) for seed in range(30)]
    assert scores[7] == compose(label, VOICES[label], 7)
    assert len({score.notes for score in scores}) == 30
    assert {score.program for score in scores} == set(VOICES[label].programs or (0,))
    for score in scores:
        notes, ends = score.notes, dict[int, float]()
        assert notes[0].start < 0.7
        for note in notes:
            assert 0 <= note.key <= 127
            assert 1 <= note.velocity <= 127
            assert note.duration > 0
            assert note.start + note.duration <= CLIP_SECONDS + 0.05
            # A note never ends after its key is struck again.
            assert ends.get(note.key, 0.0) <= note.start + 1e-9
            ends[note.key] = note.start + note.duration
        # Between a note and the next there may be a bar's rest, not a silent half.
        starts = [note.start for note in notes] + [CLIP_SECONDS]
        assert max(np.diff(starts)) < 3.3


def test_winds_play_one_note_at_a_time() -> None:
    for label in ("saxophone", "euphonium"):
        for seed in range(30):
            notes = compose(label, VOICES[label], seed).notes
            for note, following in pairwise(notes):
                assert note.start + note.duration <= following.start + 1e-9


def test_a_metronome_is_steady() -> None:
    tempos = []
    for seed in range(30):
        starts = [note.start for note in compose("metronome", VOICES["metronome"], seed).notes]
        periods = np.diff(starts)
        np.testing.assert_allclose(periods, periods[0], rtol=1e-6)
        tempos.append(60 / periods[0])
    assert 40 <= min(tempos) < 80
    assert 150 < max(tempos) <= 208


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("program 127 (gun shot)", Voice(programs=(127,))),
        ("programs 26-28", Voice(programs=(26, 27, 28))),
        ("bank 16 program 25", Voice(programs=(25,), bank=16)),
        ("programs 56-57 through an old record", Voice(programs=(56, 57), old_record=True)),
        ("percussion keys 33 34 at a steady beat", Voice(keys=(33, 34))),
    ],
)
def test_keys_of_the_class_table_are_read(text: str, voice: Voice) -> None:
    assert parse_voice(text) == voice


@pytest.mark.parametrize("text", ["", "21", "program 128", "programs 5-3", "percussion keys"])
def test_other_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="soundfont"):
        parse_voice(text)


def test_missing_programs_name_the_debian_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match="install the Debian package fluidsynth"):
        rendering.check_renderer(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(InputError, match="install the Debian package fluid-soundfont-gm"):
        rendering.check_renderer(tmp_path / "none.sf2")


@needs_fluidsynth
def test_clips_of_one_batch_do_not_leak_into_each_other() -> None:
    late = single(72, start=3.0)
    loud, quiet, again = rendering.render([single(40, 4.0), late, late], DEFAULT_SOUNDFONT)
    begin = 3 * rendering.CLIP_RATE
    assert np.abs(loud).max() > 0.02
    assert np.abs(quiet[: begin - 500]).max() < 1e-5
    assert np.abs(quiet[begin : begin + 4000]).max() > 0.02
    np.testing.assert_allclose(again, quiet, atol=0.01)


@needs_fluidsynth
def test_a_note_sounds_at_its_pitch() -> None:
    (clip,) = rendering.render([single(69, start=0.0, program=58)], DEFAULT_SOUNDFONT)
    tone = clip[4000 : 4000 + 16384] * np.hanning(16384)
    spectrum = np.abs(np.fft.rfft(tone))
    frequencies = np.fft.rfftfreq(16384, 1 / rendering.CLIP_RATE)
    near = (frequencies > 400) & (frequencies < 480)
    assert frequencies[near][spectrum[near].argmax()] == pytest.approx(440, abs=6)


@needs_fluidsynth
def test_the_bank_is_selected() -> None:
    guitar = replace(single(69, start=0.1, program=25), reverb=0)
    mandolin = replace(guitar, bank=16)
    levels = []
    for clip in rendering.render([guitar, mandolin], DEFAULT_SOUNDFONT):
        late = clip[rendering.CLIP_RATE : round(1.1 * rendering.CLIP_RATE)]
        levels.append(20 * np.log10(np.sqrt(np.mean(late**2)) / np.abs(clip).max()))
    # FluidR3's mandolin is its steel guitar, damped: by 6 dB more after a second.
    assert levels[1] < levels[0] - 3


@needs_fluidsynth
def test_rendering_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def run() -> list[tuple[Path, str | None]]:
        return list(
            rendering.render_missing(
                "revolver", [VOICES["revolver"]], [0, 1, 10_000], tmp_path, DEFAULT_SOUNDFONT
            )
        )

    assert sorted(run()) == [(tmp_path / f"{name}.flac", None) for name in ("0", "1", "10000")]
    samples, rate = soundfile.read(tmp_path / "0.flac")
    assert (len(samples), rate) == (rendering.CLIP_SAMPLES, rendering.CLIP_RATE)
    peak = 20 * np.log10(np.abs(samples).max())
    assert peak == pytest.approx(compose("revolver", VOICES["revolver"], 0).peak_db, abs=0.01)

    kept, damaged = tmp_path / "0.flac", tmp_path / "1.flac"
    before = kept.stat().st_mtime_ns, damaged.read_bytes()
    damaged.write_bytes(before[1][:500])
    assert len(run()) == 3
    assert kept.stat().st_mtime_ns == before[0]
    assert rendering.is_rendered(damaged)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".flac"] * 3


@needs_fluidsynth
def test_a_file_that_is_no_soundfont_is_one_clear_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sf2"
    wrong.write_bytes(b"RIFF of something else")
    with pytest.raises(InputError) as caught:
        rendering.render([single(60, 0.0)], wrong)
    assert str(wrong) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_old_record_has_no_bass_no_treble_and_clicks() -> None:
    rate = rendering.CLIP_RATE
    time = np.arange(rate) / rate
    tones = sum(np.sin(2 * np.pi * hz * time) for hz in (60, 1000, 9000)).astype(np.float32) / 4
    worn = aged(tones, rate, seed=3)
    assert np.array_equal(worn, aged(tones, rate, seed=3))
    assert not np.array_equal(worn, aged(tones, rate, seed=4))
    spectrum = np.abs(np.fft.rfft(worn))
    assert max(spectrum[60], spectrum[9000]) < 0.2 * spectrum[1000]
    silent = aged(np.where(time < 0.5, tones, 0).astype(np.float32), rate, seed=3)[rate // 2 :]
    assert np.abs(silent).max() > 20 * np.median(np.abs(silent))  # clicks above the hiss


def test_a_label_with_several_voices_uses_them_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []

    def render(scores: list[Score], soundfont: Path) -> list[np.ndarray]:
        rendered.extend(score.program for score in scores)
        return [np.full(rendering.CLIP_SAMPLES, 0.5, np.float32) for _ in scores]

    monkeypatch.setattr(rendering, "render", render)
    voices = [Voice(programs=(0,)), Voice(programs=(56,))]
    list(rendering.render_missing("old_record", voices, range(4), tmp_path, DEFAULT_SOUNDFONT))
    assert rendered == [0, 56, 0, 56]
    list(rendering.render_missing("b", voices, range(7, 80, 8), tmp_path / "b", DEFAULT_SOUNDFONT))
    assert {*rendered[4:]} == {0, 56}  # the seeds of validation


def test_every_voice_of_general_midi_can_be_played() -> None:
    voices = rendering.every_voice()
    assert {program for voice in voices.values() for program in voice.programs} == set(range(128))
    assert {key for voice in voices.values() for key in voice.keys} == set(range(35, 82))
    assert all(compose(name, voice, 0).notes for name, voice in voices.items())
