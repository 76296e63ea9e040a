from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from echoes_rt.errors import InputError
from echoes_training.data.index import read_index
from echoes_training.data.prepare import prepare
from echoes_training.data.public import (
    caltech_clips,
    esc10_clips,
    read_classes,
    recorded_clips,
)

CLASSES = "label,image_folder,audio_source,audio_key\n"
DOG = "dog,dalmatian|beagle,esc10,001 - Dog bark\n"

LINE = (
    "- **[{0}](https://x/{0})**:  clip derived from [a (b).wav](https://y/) by *n* ([{1}]({2}))\n"
)
COMMONS = "http://creativecommons.org/"
README = (
    LINE.format("1-10-A.ogg", "CC0", f"{COMMONS}publicdomain/zero/1.0/")
    + LINE.format("5-11-A.ogg", "CC-BY", f"{COMMONS}licenses/by/3.0/")
    + LINE.format("2-12-A.ogg", "CC-Sampling+", f"{COMMONS}licenses/sampling+/1.0/")
)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Seven dalmatians, two beagles, a wrench; two classes of sounds; the table that joins them."""
    photos = {"dalmatian": 7, "beagle": 2, "wrench": 1, "Faces_easy": 1, "BACKGROUND_Google": 1}
    for folder, count in photos.items():
        path = tmp_path / "caltech101" / "101_ObjectCategories" / folder
        path.mkdir(parents=True)
        for number in range(1, count + 1):
            cv2.imwrite(str(path / f"image_{number:04}.jpg"), np.full((9, 8, 3), 80, np.uint8))
        (path / "notes.txt").touch()
    for name in ("001 - Dog bark/1-10-A.ogg", "001 - Dog bark/5-11-A.ogg", "008 - Saw/2-12-A.ogg"):
        path = tmp_path / "esc10" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(4000), 8000, format="OGG", subtype="VORBIS")
    (tmp_path / "esc10" / ".git").mkdir()
    (tmp_path / "esc10" / "README.md").write_text(README, encoding="utf-8")
    (tmp_path / "classes.csv").write_text(CLASSES + DOG, encoding="utf-8")
    return tmp_path


def invoke(media: Path, *options: str) -> Result:
    arguments = ["media", "--caltech", str(media / "caltech101"), "--esc10", str(media / "esc10")]
    arguments += ["--classes", str(media / "classes.csv"), "--out", str(media / "out"), *options]
    return CliRunner().invoke(prepare, arguments)


def test_all_media_are_indexed_and_split_by_the_fixed_rules(media: Path) -> None:
    result = invoke(media)
    assert result.exit_code == 0, result.output
    clips = read_index(media / "out" / "index.jsonl")
    by_name = {Path(clip.image or clip.audio or "").stem + clip.category: clip for clip in clips}
    assert len(clips) == len(by_name) == 7 + 2 + 1 + 3
    splits = {name: clip.split for name, clip in by_name.items() if clip.split != "train"}
    assert splits == {
        "image_0004dalmatian": "validation",
        "image_0005dalmatian": "heldout",
        "5-11-A001 - Dog bark": "heldout",
    }
    assert {clip.label for clip in clips if clip.category in ("dalmatian", "beagle")} == {"dog"}
    assert by_name["image_0001wrench"].label is None
    assert by_name["2-12-A008 - Saw"].label is None
    assert by_name["1-10-A001 - Dog bark"].licence == "CC0 1.0"
    assert by_name["5-11-A001 - Dog bark"].licence == "CC BY 3.0"
    assert by_name["2-12-A008 - Saw"].licence == "CC Sampling Plus 1.0"
    assert by_name["image_0001wrench"].licence == "CC BY 4.0"
    assert all(Path(clip.image or clip.audio or "").is_file() for clip in clips)
    assert "13 rows, 0 files skipped" in result.stdout
    assert any(
        line.split() == ["caltech101", "dog", "7", "1", "1"] for line in result.stdout.split("\n")
    )


def test_a_broken_file_is_skipped_and_moves_no_other_to_another_split(media: Path) -> None:
    photos = media / "caltech101" / "101_ObjectCategories" / "dalmatian"
    (photos / "image_0002.jpg").write_bytes(b"")
    (media / "esc10" / "008 - Saw" / "2-12-A.ogg").write_bytes(b"OggS, but no more")
    result = invoke(media)
    assert result.exit_code == 0, result.output
    empty = photos / "image_0002.jpg"
    assert f"skipped {empty}: picture {empty} is empty; give a JPEG" in result.stderr
    assert "2-12-A.ogg" in result.stderr
    assert "11 rows, 2 files skipped" in result.stdout
    clips = read_index(media / "out" / "index.jsonl")
    assert [Path(clip.image).name for clip in clips if clip.image and clip.split == "heldout"] == [
        "image_0005.jpg"
    ]


def test_without_a_readme_the_licence_of_the_whole_set_is_given(media: Path) -> None:
    (media / "esc10" / "README.md").unlink()
    classes = read_classes(media / "classes.csv")
    assert {clip.licence for clip in esc10_clips(media / "esc10", classes)} == {"CC BY 3.0"}


def test_a_sound_without_a_fold_is_refused(media: Path) -> None:
    (media / "esc10" / "008 - Saw" / "saw.ogg").touch()
    with pytest.raises(InputError, match=r"saw\.ogg does not begin with its fold"):
        list(esc10_clips(media / "esc10", read_classes(media / "classes.csv")))


def test_absent_folders_are_named(media: Path) -> None:
    table = media / "classes.csv"
    table.write_text(CLASSES + "cat,siamese,esc10,011 - Cat\n", encoding="utf-8")
    classes = read_classes(table)
    with pytest.raises(InputError, match="lacks the class folders 'siamese'"):
        list(caltech_clips(media / "caltech101", classes))
    with pytest.raises(InputError, match="lacks the class folders '011 - Cat'"):
        list(esc10_clips(media / "esc10", classes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,image_folder\na,b\n", ":2: columns missing: audio_source, audio_key; found: label"),
        (CLASSES, " has no rows"),
        (CLASSES + DOG + DOG, ":3: this row of 'dog' is there twice"),
        (
            CLASSES + "dog,dalmatian,web,1\n",
            ":2: audio_source must be esc10, sounds, soundfont, got 'web'",
        ),
        (CLASSES + "dog,,esc10,1\n", ":2: image_folder is empty"),
        (CLASSES + DOG + "dog,beagle,sounds,dog\n", ":3: the rows of 'dog' name different image"),
    ],
)
def test_a_wrong_class_table_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "classes.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_classes(table)
    assert str(caught.value).startswith(f"{table}{message}")


def test_a_missing_soundfont_names_its_debian_package(media: Path) -> None:
    with (media / "classes.csv").open("a", encoding="utf-8") as file:
        file.write("bell,wrench,soundfont,program 14\n")
    result = invoke(media, "--soundfont", str(media / "none.sf2"))
    assert isinstance(result.exception, InputError)
    assert "install the Debian package fluid" in str(result.exception)
    assert not (media / "out" / "index.jsonl").exists()


def test_rendered_clips_join_the_index(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from echoes_training.data import soundfont

    def render(scores: list[object], path: Path) -> list[np.ndarray]:
        samples = np.sin(np.arange(soundfont.CLIP_SAMPLES) / 9).astype(np.float32)
        return [samples * (index != 1) for index in range(len(scores))]  # the second is silent

    monkeypatch.setattr(soundfont, "check_renderer", lambda path: None)
    monkeypatch.setattr(soundfont, "render", render)
    with (media / "classes.csv").open("a", encoding="utf-8") as file:
        file.write("bell,wrench,soundfont,program 14\n")
    result = invoke(media, "--renders", "3", "--heldout-renders", "2")
    assert result.exit_code == 0, result.output
    bells = [
        clip for clip in read_index(media / "out" / "index.jsonl") if clip.source == "soundfont"
    ]
    found = [(Path(clip.audio or "").name, clip.split, clip.label) for clip in bells]
    assert found == [
        ("0.flac", "train", "bell"),
        ("2.flac", "train", "bell"),
        ("10000.flac", "heldout", "bell"),
        ("10001.flac", "heldout", "bell"),
    ]
    assert "1.flac: program 14 of bank 0 is silent" in result.stderr


SOUNDS = "file,label,recording,author,licence,split\n"


@pytest.fixture
def recordings(media: Path) -> Path:
    """Twelve recordings of dogs by as many authors, one of 12 s, one held out; their table."""
    (media / "sounds").mkdir()
    rows = []
    for number in range(12):
        seconds = 12 if number == 0 else 1
        soundfile.write(media / "sounds" / f"{number}.wav", np.zeros(8000 * seconds), 8000)
        split = "heldout" if number == 11 else "train"
        rows.append(f"sounds/{number}.wav,dog,rec-{number},author{number},CC0 1.0,{split}\n")
    table = media / "sounds.csv"
    table.write_text(SOUNDS + "".join(rows), encoding="utf-8")
    (media / "classes.csv").write_text(
        CLASSES + DOG + "dog,dalmatian|beagle,sounds,dog\n", encoding="utf-8"
    )
    return table


def test_recordings_become_clips_of_five_seconds_and_give_some_for_validation(
    media: Path, recordings: Path
) -> None:
    result = invoke(media, "--sounds", str(recordings))
    assert result.exit_code == 0, result.output
    clips = [c for c in read_index(media / "out" / "index.jsonl") if c.source == "sounds"]
    assert [c.start for c in clips if c.recording == "rec-0"] == [0.0, 5.0, 10.0]
    by_split = {c.recording: c.split for c in clips}
    assert by_split["rec-11"] == "heldout"
    assert sorted(by_split.values()).count("validation") == 1  # of eleven for training
    assert {c.label for c in clips} == {"dog"}


def test_recordings_without_their_table_are_asked_for(media: Path, recordings: Path) -> None:
    result = invoke(media)
    assert isinstance(result.exception, InputError)
    assert "--sounds" in str(result.exception)


def test_a_wrong_split_of_a_recording_is_named_by_its_line(media: Path, recordings: Path) -> None:
    text = recordings.read_text(encoding="utf-8").replace("heldout", "test")
    recordings.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"sounds\.csv:13: split"):
        list(recorded_clips(recordings, read_classes(media / "classes.csv")))
