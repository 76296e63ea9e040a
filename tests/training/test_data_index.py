import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from echoes_rt.errors import InputError
from echoes_training.data.index import (
    Clip,
    read_index,
    shared_labels,
    with_recordings_whole,
    write_index,
)

ROW: dict[str, Any] = {
    "image": "a.jpg",
    "audio": None,
    "start": 0,
    "label": "dog",
    "category": "dalmatian",
    "split": "train",
    "licence": "CC BY 4.0",
    "source": "caltech101",
}


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_paths_are_relative_below_the_index_and_absolute_elsewhere(tmp_path: Path) -> None:
    near, far = tmp_path / "out" / "audio" / "ö.flac", tmp_path / "media" / "a.jpg"
    (tmp_path / "out").mkdir()
    index = tmp_path / "out" / "index.jsonl"
    clip = Clip(**{**ROW, "image": str(far), "audio": str(near)})
    write_index(index, [clip])
    row = json.loads(index.read_text(encoding="utf-8"))
    assert row["audio"] == "audio/ö.flac"
    assert row["image"] == far.as_posix()
    assert read_index(index) == [clip]


def test_a_moved_index_finds_its_audio(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_index(old / "index.jsonl", [Clip(**{**ROW, "image": str(old / "a.jpg")})])
    old.rename(new)
    assert read_index(new / "index.jsonl")[0].image == str(new / "a.jpg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "test"}, "split must be one of train, validation, heldout, got 'test'"),
        ({"source": "web"}, "source must be one of caltech101, esc10, sounds, soundfont, pairs"),
        ({"start": -1}, "start must be 0 or more seconds, got -1.0"),
        ({"start": "2"}, "start must be a number, got '2'"),
        ({"start": float("nan")}, "start must be 0 or more seconds, got nan"),
        ({"image": None}, "needs an image, an audio or both"),
        ({"image": 3}, "image must be text or null, got 3"),
        ({"licence": None}, "licence must be text, got None"),
        ({"colour": "red"}, "unknown field colour"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    index = write_rows(tmp_path / "index.jsonl", ROW, {**ROW, **change})
    with pytest.raises(InputError) as caught:
        read_index(index)
    assert str(caught.value).startswith(f"{index}:2: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("line", ["{", "[1]", '{"image": "a.jpg"}'])
def test_what_is_not_a_row_is_refused(tmp_path: Path, line: str) -> None:
    index = tmp_path / "index.jsonl"
    index.write_text(line, encoding="utf-8")
    with pytest.raises(InputError, match=r"index\.jsonl:1: "):
        read_index(index)


def test_missing_and_empty_indexes_point_to_prepare(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="echoes-train prepare"):
        read_index(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="has no rows"):
        read_index(write_rows(tmp_path / "empty.jsonl"))


def test_a_failed_write_keeps_the_old_index(tmp_path: Path) -> None:
    index = tmp_path / "index.jsonl"
    write_index(index, [Clip(**ROW)])
    before = index.read_bytes()
    broken = dataclasses.replace(Clip(**ROW), licence=b"not text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_index(index, [Clip(**ROW), broken])
    assert index.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["index.jsonl"]


def test_a_recording_stays_in_one_split() -> None:
    def clip(recording: str, split: str) -> Clip:
        return Clip(**{**ROW, "recording": recording, "split": split})

    whole = with_recordings_whole(
        [clip("a", "train"), clip("a", "validation"), clip("b", "validation")]
    )
    assert [(c.recording, c.split) for c in whole] == [
        ("a", "train"),
        ("a", "train"),
        ("b", "validation"),
    ]
    for other in ("train", "validation"):
        with pytest.raises(InputError, match="'a' is held out in one row"):
            with_recordings_whole([clip("a", "heldout"), clip("a", other)])


def test_a_clip_without_a_recording_is_one_by_itself() -> None:
    assert Clip(**ROW).recording == "a.jpg"
    assert Clip(**{**ROW, "audio": "a.wav"}).recording == "a.wav"


def test_labels_of_both_media_have_the_categories_of_their_pictures() -> None:
    sound = {"image": None, "audio": "a.wav", "category": "Dog bark"}
    rows = [
        {"category": "poodle"},
        {"category": "dalmatian"},
        {"category": "poodle"},
        {"label": "sea", "category": "ketch"},
        {"label": None, "category": "anchor"},
        sound,
        sound | {"label": "rain"},
        {"label": "bell", "audio": "b.wav", "category": "bell"},
    ]
    clips = [Clip(**(ROW | row)) for row in rows]
    assert shared_labels(clips) == {"bell": ["bell"], "dog": ["dalmatian", "poodle"]}
