from pathlib import Path

import pytest

from echoes_rt.errors import InputError
from echoes_training.data.splits import stable_split
from echoes_training.data.videos.table import VideoClip, folder_clips, read_table


def write(folder: Path, text: str, *files: str) -> Path:
    for name in files:
        path = folder / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "videos").mkdir(exist_ok=True)
    table = folder / "table.csv"
    table.write_text(text, encoding="utf-8")
    return table


def read(table: Path, **options: object) -> list[VideoClip]:
    arguments = {"seconds": 10.0, "cut": False, **options}
    return read_table(table, table.parent / "videos", **arguments)


def test_vggsound_s_table_as_it_is_published(tmp_path: Path) -> None:
    text = '--5OkAjCI7g,40,"lions, roaring",train\n---g-f_I2yQ,1,people marching,test\n'
    table = write(tmp_path, text, "deep/--5OkAjCI7g_000040.mp4", "---g-f_I2yQ_000001.mp4")
    lions, march = read(table)
    assert (lions.video, lions.start, lions.label, lions.split) == (
        "--5OkAjCI7g",
        40.0,
        "lions, roaring",
        "train",
    )
    assert march.split == "heldout"
    assert lions.path == tmp_path / "videos" / "deep" / "--5OkAjCI7g_000040.mp4"
    assert lions.offset == 0.0
    assert lions.key != march.key


def test_audioset_s_table_as_it_is_published(tmp_path: Path) -> None:
    text = (
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--PJHxphWEs, 30.000, 36.500, "/m/09x0r,/t/dd00088"\n'
    )
    table = write(tmp_path, text, "--PJHxphWEs.webm")
    (clip,) = read(table)
    assert (clip.start, clip.offset, clip.seconds) == (30.0, 30.0, 6.5)
    assert clip.label == "/m/09x0r,/t/dd00088"
    assert clip.split == stable_split("--PJHxphWEs")
    assert {read(table, split=name)[0].split for name in ("train", "heldout")} == {
        "train",
        "heldout",
    }


@pytest.mark.parametrize(
    ("name", "cut", "offset"),
    [
        ("a_b_000030.mp4", False, 0.0),
        ("a_b_30.mp4", False, 0.0),
        ("a_b_30_40.mkv", False, 0.0),
        ("a_b_30000_40000.mp4", False, 0.0),
        ("a_b_30.000_40.000.MP4", False, 0.0),
        ("a_b.mp4", False, 30.0),
        ("a_b.mp4", True, 0.0),
    ],
)
def test_files_are_found_by_the_names_that_downloaders_give(
    tmp_path: Path, name: str, cut: bool, offset: float
) -> None:
    table = write(tmp_path, "a_b,30,dog,train\nother,1,cat,train\n", name, "a_b_000031.txt")
    found, absent = read(table, cut=cut)
    assert (found.path, found.offset) == (tmp_path / "videos" / name, offset)
    assert absent.path is None


def test_a_header_is_passed_over(tmp_path: Path) -> None:
    table = write(tmp_path, "youtube_id,start,label,split\n\nx,3,dog,test\n", "x_3.mp4")
    assert [clip.video for clip in read(table)] == ["x"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("x,1,dog\n", ":1: a row needs 4 cells"),
        ("x,1,dog,train\nx,-1,dog,train\n", ":2: start must be 0 or more seconds, got '-1'"),
        ("x,1,dog,valid\n", ":1: split must be train or test, got 'valid'"),
        ("x,5,5,dog\n", ":1: end must be after start, got 5 and 5"),
        (",5,dog,train\n", ":1: the id is empty"),
        ("# nothing\n", " has no rows"),
    ],
)
def test_a_wrong_table_is_one_clear_line(tmp_path: Path, rows: str, message: str) -> None:
    table = write(tmp_path, rows, "x_1.mp4")
    with pytest.raises(InputError) as caught:
        read(table)
    assert str(caught.value).startswith(f"{table}{message}")


def test_a_folder_of_other_videos_is_refused(tmp_path: Path) -> None:
    table = write(tmp_path, "x,1,dog,train\n", "y.mp4")
    with pytest.raises(InputError, match=r"none of the 1 rows.*like x\.mp4 or x_000001\.mp4"):
        read(table)


def test_a_folder_alone_gives_labels_by_its_folders(tmp_path: Path) -> None:
    write(tmp_path, "", "dogs/one.mp4", "two.MOV", "notes.txt")
    one, two = folder_clips(tmp_path / "videos", seconds=4.0)
    assert (one.video, one.label, one.start) == ("dogs/one.mp4", "dogs", 0.0)
    assert (two.video, two.label) == ("two.MOV", None)
    assert two.split == stable_split("two.MOV")
    with pytest.raises(InputError, match="has no videos"):
        folder_clips(tmp_path / "videos" / "none", seconds=4.0)
