"""Videos made by the test become shards: right pictures, right sound, nothing lost or half done."""

import csv
import io
import json
import os
import signal
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from tests.training.runs import forked, video_clip

from echoes_training.cli import main
from echoes_training.data.videos.decode import ClipError, read_frames, read_sound
from echoes_training.data.videos.sample import ClipForm, Extract, extract
from echoes_training.data.videos.shards import lists, read_list, read_tar
from echoes_training.data.videos.table import VideoClip
from echoes_training.data.videos.workers import extract_all

av = pytest.importorskip("av")

SECONDS, FRAME_RATE, RATE = 1.2, 20, 16_000
FORM = ClipForm(n_frames=4, height=32, width=32, sample_rate=22_050, seconds=1.0, shortest_s=0.9)


def pictures(seconds: float = SECONDS) -> np.ndarray:
    """The grey of each frame tells when it is shown: 10 levels a frame."""
    grey = 10 * np.arange(round(seconds * FRAME_RATE))
    return np.broadcast_to(grey[:, None, None, None], (len(grey), 48, 64, 3)).astype(np.uint8)


def beep(begin: float, seconds: float = SECONDS) -> np.ndarray:
    """A tone of a tenth of a second."""
    at = np.arange(round(seconds * RATE)) / RATE
    heard = (at >= begin) & (at < begin + 0.1)
    return (0.5 * np.sin(2 * np.pi * 1000 * at) * heard).astype(np.float32)


def write(path: Path, frames: np.ndarray | None, samples: np.ndarray | None) -> None:
    """H.264 of (T, H, W, 3) RGB ``frames``, AAC of (S,) ``samples``; None leaves a track out."""
    with av.open(str(path), "w") as container:
        video = sound = None
        if frames is not None:
            video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast"})
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = "yuv420p"
        if samples is not None:
            sound = container.add_stream("aac", rate=RATE, layout="mono")
        if video is not None:
            for pixels in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(video.encode(None))
        if sound is not None:
            audio = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            audio.sample_rate = RATE
            audio.pts = 0  # else players do not learn that the encoder begins with silence
            container.mux(sound.encode(audio))
            container.mux(sound.encode(None))


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good videos, and one for each way to be useless."""
    folder = tmp_path_factory.mktemp("videos")
    write(folder / "early.mp4", pictures(), beep(0.3))
    write(folder / "late.mp4", pictures(), beep(0.8))
    write(folder / "silent.mp4", pictures(), 0 * beep(0.3))
    write(folder / "short.mp4", pictures(0.5), beep(0.3, 0.5))
    write(folder / "blind.mp4", pictures(0.5), beep(0.3))
    write(folder / "deaf.mp4", pictures(), None)
    write(folder / "sound.mp4", None, beep(0.3))
    whole = (folder / "early.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp4").write_text("not a video")
    return folder


USELESS = ("silent", "short", "blind", "deaf", "sound", "truncated", "text", "gone")
NAMES = ("early", "late", *USELESS, *3 * ("early", "late"))


@pytest.fixture(scope="session")
def table(videos: Path) -> Path:
    """As VGGSound's; the last rows are held out."""
    rows = [
        f"{name},{i % 2 / 10},{name},{'test' if i > 10 else 'train'}"
        for i, name in enumerate(NAMES)
    ]
    path = videos / "table.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def arguments(table: Path, out: Path, *more: object) -> list[str]:
    options = ["--preset", "tiny", "--frames", 4, "--seconds", 1, "--clips-per-shard", 3]
    given = ["prepare", "videos", table.parent, "--table", table, "--out", out, *options, *more]
    return [str(value) for value in given]


def prepare(table: Path, out: Path, *more: object) -> Result:
    return CliRunner().invoke(main, arguments(table, out, *more))


@pytest.fixture(scope="session")
def shards(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "new"
    result = prepare(table, out, "--workers", 2)
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()[:3]] == [
        ["split", "shards", "clips", "skipped", "hours"],
        ["train", "4", "3", "8", "0.00"],
        ["heldout", "2", "5", "0", "0.00"],
    ]
    reasons = "2 too short, 2 unreadable, 1 missing, 1 no picture, 1 no sound, 1 silent"
    assert result.stdout.splitlines()[3:] == [
        f"skipped: {reasons} ({out / 'skipped.csv'})",
        str(out),
    ]
    assert "16 clips in " in result.stderr
    assert "16/16" in result.stderr
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_sound_keeps_its_place_and_level(videos: Path) -> None:
    samples = read_sound(videos / "late.mp4", 0.6, 0.5, 22_050)
    assert len(samples) == 11_025
    loud = np.flatnonzero(np.abs(samples) > 0.25) / 22_050
    assert loud[0] == pytest.approx(0.2, abs=0.01)
    assert loud[-1] == pytest.approx(0.3, abs=0.01)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.1)
    tone = samples[round(0.21 * 22_050) : round(0.29 * 22_050)]
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    assert spectrum.argmax() * 22_050 / len(tone) == pytest.approx(1000, abs=20)


def test_a_turned_phone_gives_an_upright_picture(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    frames = np.zeros((4, 48, 64, 3), np.uint8)
    frames[:, :, 32:] = 200  # bright on the right; a quarter turn to the left brings it up
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a turned video")
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(90)
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    (frame,) = read_frames(path, 0.0, [0.1], slack_s=0.0)
    assert frame.shape == (64, 48, 3)
    assert frame[:30].mean() > 150 > 50 > frame[34:].mean()


def test_a_cover_is_no_film(videos: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(videos / "sound.mp4")) as source, av.open(str(path), "w") as song:
        heard = song.add_stream_from_template(source.streams.audio[0])
        cover = song.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        grey = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8), format="rgb24")
        song.mux([*cover.encode(grey), *cover.encode(None)])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = heard
                song.mux(packet)
    with pytest.raises(ClipError, match="no video track"):
        read_frames(path, 0.0, [0.1], slack_s=0.0)


def copied(source_path: Path, path: Path, title: str = "", **options: str) -> Path:
    """The same pictures and sound in another file."""
    with (
        av.open(str(source_path)) as source,
        av.open(str(path), "w", options=options) as copy,
    ):
        copy.metadata["title"] = title
        streams = {s.index: copy.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)
    return path


def test_a_title_in_another_encoding_does_no_harm(videos: Path, tmp_path: Path) -> None:
    path = copied(videos / "early.mp4", tmp_path / "titled.mp4", title="A walk")
    titled = path.read_bytes()
    assert b"A walk" in titled
    path.write_bytes(titled.replace(b"A walk", b"A w\xe4lk"))
    assert extract(clip(path), FORM).fault is None


def test_a_cut_download_with_its_index_in_front_is_refused(videos: Path, tmp_path: Path) -> None:
    path = copied(videos / "early.mp4", tmp_path / "cut.mp4", movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = extract(clip(path), FORM)
    assert result.files == {}
    assert result.fault is not None
    assert result.fault.reason in ("too short", "unreadable", "no sound")


def clip(path: Path, key: int = 1) -> VideoClip:
    return video_clip(key=str(key), video=path.stem, path=path)


def test_shards_hold_every_good_clip_of_their_split(shards: Path, table: Path) -> None:
    found = {}
    for tar in sorted(shards.glob("*.tar")):
        for key, files in read_tar(tar):
            about = json.loads(files["json"])
            assert tar.name.startswith(about["split"])
            assert list(files) == ["json", "0.jpg", "1.jpg", "2.jpg", "3.jpg", "flac"]
            found[key] = about, files
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    good = {f"{n:08d}": row for n, row in enumerate(rows, 1) if row[0] in ("early", "late")}
    assert found.keys() == good.keys()
    for key, (video, start, label, split) in good.items():
        about, files = found[key]
        assert (about["video"], about["start"], about["label"]) == (video, float(start), label)
        assert about["split"] == {"train": "train", "test": "heldout"}[split]
        assert about["times"] == [0.125, 0.375, 0.625, 0.875]
        samples, rate = soundfile.read(io.BytesIO(files["flac"]))
        assert (samples.shape, rate) == ((22_050,), 22_050)
        first = np.flatnonzero(np.abs(samples) > 0.2)[0] / rate
        assert first == pytest.approx({"early": 0.3, "late": 0.8}[video] - about["start"], abs=0.01)
        for i, time_s in enumerate(about["times"]):
            frame = cv2.imdecode(np.frombuffer(files[f"{i}.jpg"], np.uint8), cv2.IMREAD_COLOR)
            assert frame.shape == (32, 32, 3)
            shown = int((time_s + about["start"]) * FRAME_RATE + 1e-6)
            assert frame.mean() == pytest.approx(10 * shown, abs=6)


def test_every_useless_clip_is_listed_with_its_reason(shards: Path) -> None:
    with (shards / "skipped.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["video"]: row["reason"] for row in rows} == {
        "silent": "silent",
        "short": "too short",
        "blind": "too short",
        "deaf": "no sound",
        "sound": "no picture",
        "truncated": "unreadable",
        "text": "unreadable",
        "gone": "missing",
    }
    details = {row["video"]: row["detail"] for row in rows}
    assert details["deaf"] == "the file has no audio track"
    assert details["blind"].startswith("the pictures end after 0.")
    assert "Invalid data" in details["text"]


def test_a_second_run_does_nothing_and_other_settings_are_refused(
    shards: Path, table: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in lists(shards)}
    result = prepare(table, shards)
    assert result.exit_code == 0, result.output
    assert "clips per second" not in result.stderr
    assert {path: path.stat().st_mtime_ns for path in lists(shards)} == before
    result = prepare(table, shards, "--seconds", 0.95)
    assert result.exit_code == 1
    assert "holds shards of another set: digest, seconds, shortest_s differ" in result.stderr


def test_after_a_kill_the_rest_is_made_and_all_is_the_same(
    shards: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    job = {"commands": [arguments(table, out, "--workers", 1)], "death": "within the second shard"}
    assert forked([job], tmp_path) == [[-9]]
    first = "train-000000.tar"
    assert (out / first).read_bytes() == (shards / first).read_bytes()
    assert [path.suffix for path in out.glob(".*.partial.*")] == [".tar"]
    kept = {path: path.stat().st_mtime_ns for path in lists(out)}
    assert [path.name for path in kept] == ["train-000000.jsonl"]
    result = prepare(table, out, "--workers", 2)
    assert result.exit_code == 0, result.output
    assert content(out) == content(shards)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def _die_at_the_third(clip: VideoClip, form: ClipForm) -> Extract:
    if clip.key == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    return Extract(files={"txt": clip.key.encode()})


def test_a_clip_that_kills_its_worker_costs_only_itself(videos: Path) -> None:
    clips = [clip(videos / "early.mp4", key) for key in range(6)]
    results = list(extract_all(clips, FORM, 2, _die_at_the_third))
    assert [result.files.get("txt") for result in results] == [b"0", b"1", b"2", None, b"4", b"5"]
    assert results[3].fault is not None
    assert results[3].fault.reason == "crash"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_webdataset_library_reads_them(shards: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    tars = [str(path) for path in sorted(shards.glob("*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    assert len(samples) == sum(e.reason is None for path in lists(shards) for e in read_list(path))
    assert {sample["0.jpg"].shape for sample in samples} == {(32, 32, 3)}
    assert {sample["json"]["video"] for sample in samples} == {"early", "late"}


def test_tars_carry_no_time_and_no_name(shards: Path) -> None:
    marks = set()
    for path in shards.glob("*.tar"):
        with tarfile.open(path) as tar:
            marks |= {(member.mtime, member.uid, member.uname) for member in tar}
    assert marks == {(0, 0, "")}
