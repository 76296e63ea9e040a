"""The sound of a video."""

import json
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from tests.runtime.commands import Run, refused

from echoes_rt import Echoes, InputError
from echoes_rt.io.video import FramesByTime, _decoding_times

FPS = 10
TITLE = "A walk"


# Of a track's header (ISO 14496-12, 8.3.2), in sixteenths of bits: x' = a x + c y, y' = b x + d y,
# with y downwards. So what is at the right (x) comes to lie below (y').
UNTURNED = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
QUARTER_CLOCKWISE = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)


@pytest.fixture
def clip(av: Any, tmp_path: Path) -> Path:
    """One second, without a sound."""
    return write_clip(av, tmp_path / "clip.mp4", brightening())


def write_clip(
    av: Any,
    path: Path,
    frames: NDArray[np.uint8],
    codec: str = "mpeg4",
    *,
    first: int = 0,
    options: dict[str, str] | None = None,
    cover: bool = False,
) -> Path:
    """(T, H, W, 3) RGB, of which the first is shown at ``first`` tenths of a second."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = TITLE
        try:
            stream = container.add_stream(codec, rate=FPS)
        except ValueError:
            pytest.skip(f"this PyAV cannot write {codec}")
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.options = options or {}
        if cover:
            add_cover(av, container)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = first + i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def add_cover(av: Any, container: Any) -> None:
    picture = container.add_stream("mjpeg", rate=1)
    picture.width = picture.height = 32
    picture.pix_fmt = "yuvj420p"
    picture.disposition = av.stream.Disposition.attached_pic.value
    grey = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8), format="rgb24")
    container.mux([*picture.encode(grey), *picture.encode(None)])


def brightening() -> NDArray[np.uint8]:
    """Each frame brighter than the one before."""
    levels = np.arange(FPS, dtype=np.uint8)[:, None, None, None] * 20
    return np.broadcast_to(levels, (FPS, 64, 64, 3))


def boxes(data: bytes) -> dict[bytes, bytes]:
    """Of an MP4 file or of one of its boxes, kind to whole box."""
    found, at = {}, 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found[data[at + 4 : at + 8]] = data[at : at + length]
        at += length
    return found


def times(av: Any, path: Path) -> dict[str, tuple[float, float]]:
    """When the first and the last frame of each kind begin."""
    found = {}
    for kind in ("video", "audio"):
        with av.open(str(path)) as container:
            seconds = [frame.time for frame in container.decode(**{kind: 0})]
        found[kind] = seconds[0], seconds[-1]
    return found


def pictures(av: Any, path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def sound(av: Any, path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        return np.concatenate(parts)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_video_gets_a_sound_and_keeps_its_pictures(
    suffix: str, av: Any, clip: Path, run: Run, tmp_path: Path
) -> None:
    document = json.loads(
        run("generate", "clip.mp4", f"out.{suffix}", "--seed", 1, "--json").stdout
    )
    assert document["duration_s"] == pytest.approx(1.0)
    out = tmp_path / f"out.{suffix}"
    for given, kept in zip(pictures(av, clip), pictures(av, out), strict=True):
        np.testing.assert_array_equal(given, kept)
    heard = sound(av, out)
    assert abs(len(heard) - 22_050) <= 2048  # AAC comes in blocks of 1024
    assert np.abs(heard).max() > 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", out.name]


def test_each_window_sees_the_frame_in_its_middle(
    av: Any, clip: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu")
    asked: list[float] = []
    at = FramesByTime.at

    def spy(self: FramesByTime, second: float) -> Any:
        asked.append(second)
        return at(self, second)

    monkeypatch.setattr(FramesByTime, "at", spy)
    echoes.add_sound(clip, tmp_path / "out.mp4", seed=1)
    half = echoes.manifest.mel.duration_s / 2
    assert asked[0] == pytest.approx(half)
    assert len(asked) == echoes.windows(1.0)
    assert asked == sorted(asked)


@pytest.mark.parametrize("first", [0, 70])
def test_frames_are_found_by_time_from_the_first_one_on(
    first: int, av: Any, tmp_path: Path
) -> None:
    path = write_clip(av, tmp_path / "clip.mkv", brightening(), first=first)
    with av.open(str(path)) as container:
        frames = FramesByTime(container, path)
        levels = [float(frames.at(t).mean()) for t in (0.0, 0.05, 0.12, 0.52, 0.92, 5.0)]
    np.testing.assert_allclose(levels, [0, 0, 20, 100, 180, 180], atol=4)


def test_phone_held_upright_is_heard_upright(av: Any, run: Run, tmp_path: Path) -> None:
    frames = np.zeros((FPS, 48, 64, 3), np.uint8)
    frames[:, :, 32:] = 200
    source, out = write_clip(av, tmp_path / "phone.mp4", frames), tmp_path / "out.mp4"
    header = source.read_bytes()
    track = header.index(b"tkhd")
    assert header.index(UNTURNED, track) == track + 44
    source.write_bytes(header[: track + 44] + QUARTER_CLOCKWISE + header[track + 80 :])
    assert run("generate", source, out).exit_code == 0
    for path in (source, out):  # players turn the copy, too
        with av.open(str(path)) as container:
            upright = FramesByTime(container, path).at(0.0)
        assert upright.shape == (64, 48, 3)
        assert upright[:30].mean() < 20 < 180 < upright[34:].mean()


def test_pictures_are_copied_whatever_reads_them(av: Any, run: Run, tmp_path: Path) -> None:
    """AV1's decoder, dav1d, has no encoder of its name."""
    # A file, because the encoder of PyAV's wheels, SVT-AV1, gives a process that root runs realtime
    # priority, under which whatever it starts may starve the machine.
    source = Path(__file__).parents[1] / "fixtures" / "av1.mp4"
    result = run("generate", source, "out.mp4", "-q")
    assert (result.exit_code, result.output) == (0, "")
    assert len(pictures(av, tmp_path / "out.mp4")) == 4


def test_pictures_that_the_container_cannot_hold_are_one_line(
    av: Any, run: Run, tmp_path: Path
) -> None:
    source = write_clip(av, tmp_path / "clip.mkv", np.zeros((4, 64, 64, 3), np.uint8), "libvpx")
    refused(run("generate", source, "out.mp4"), "'mp4' format does not support 'vp8'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mkv"]


def test_pictures_of_an_unknown_kind_are_one_line(av: Any, run: Run, tmp_path: Path) -> None:
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    clip = write_clip(av, tmp_path / "clip.mp4", frames, codec="libx264")
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"zzzz"))
    refused(run("generate", "clip.mp4", "out.mp4"), "clip.mp4 has pictures of a kind that FFmpeg")


def test_title_in_another_encoding_does_no_harm(av: Any, clip: Path, run: Run) -> None:
    clip.write_bytes(clip.read_bytes().replace(TITLE.encode(), b"A w\xe4lk"))
    result = run("generate", "clip.mp4", "out.mp4", "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_sound_of_what_a_video_shows_is_written_alone(
    av: Any, clip: Path, run: Run, tmp_path: Path
) -> None:
    assert run("generate", "clip.mp4", "out.wav", "--seed", 1, "-q").output == ""
    piped = run("generate", "clip.mp4", "-", "--seed", 1, "-q")
    assert piped.stdout_bytes == (tmp_path / "out.wav").read_bytes()
    run("generate", "clip.mp4", "out.mp4", "--seed", 1)
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown_s = float(container.streams.video[0].duration * container.streams.video[0].time_base)
    assert soundfile.info(tmp_path / "out.wav").duration == pytest.approx(shown_s, abs=0.1)


def test_missing_pyav_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").touch()
    refused(run("generate", "clip.mp4", "out.mp4"), "video needs PyAV; pip install ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("none.mp4", "out.mp4"), "there is no file none.mp4"),
        (("text.mp4", "out.mp4"), "text.mp4 is not a video that can be read: "),
        (("clip.mp4", "out.avi"), "cannot write out.avi: a video or its sound ends in .mp4, .m4v"),
        (("clip.mp4", "no/out.mp4"), "cannot write no/out.mp4: there is no folder no; make it"),
        (("clip.mp4", "out.mp4", "--count", 2), "a video goes without --count, --dur"),
        (("clip.mp4", "out.mp4", "--start", 1), "a video goes without --count, --duration and"),
    ],
)
def test_bad_video_is_one_line(
    arguments: tuple[object, ...], line: str, av: Any, clip: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    refused(run("generate", *arguments), line)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "text.mp4"]


@pytest.mark.parametrize("has_cover", [False, True])
def test_sound_alone_is_no_film(has_cover: bool, av: Any, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=22_050, layout="mono")
        if has_cover:
            add_cover(av, container)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 22_050
        container.mux([*sound.encode(frame), *sound.encode(None)])
    refused(run("generate", path, "out.mp4"), f"{path} has no pictures in it")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("first", [0, 50])
def test_pictures_shown_in_another_order_all_arrive(
    first: int, suffix: str, av: Any, run: Run, tmp_path: Path
) -> None:
    """FFmpeg does not know when the first of a Matroska file are decoded."""
    given = write_clip(
        *(av, tmp_path / f"clip{suffix}", brightening(), "libx264"),
        first=first,
        options={"bf": "2", "b_strategy": "0", "crf": "1"},
    )
    for out in ("out.mp4", "out.mkv"):
        assert run("generate", given, out, "-q").output == ""
        for before, after in zip(pictures(av, given), pictures(av, tmp_path / out), strict=True):
            np.testing.assert_array_equal(before, after)


def test_decoding_times_rise_and_are_never_after_showing() -> None:
    assert _decoding_times([-1, 0, 1], [0, 2, 1]) == [-1, 0, 1]
    for given in ([None, None, 1], [0, 0, 1], [5, 6, 7]):
        made = _decoding_times(given, [0, 2, 1])
        assert made == [-1, 0, 1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize(("first", "shown"), [(50, 10), (-4, 6)])  # an edit list hides four
def test_sound_and_pictures_begin_together(
    first: int, shown: int, suffix: str, av: Any, run: Run, tmp_path: Path
) -> None:
    if first < 0 and suffix == ".mkv":
        pytest.skip("Matroska has no edit lists")
    given = write_clip(av, tmp_path / f"clip{suffix}", brightening(), first=first)
    for out in ("out.mp4", "out.mkv"):
        document = json.loads(run("generate", given, out, "--json").stdout)
        assert document["duration_s"] == pytest.approx(shown / FPS)
        found = times(av, tmp_path / out)
        assert found["video"] == pytest.approx((0, (shown - 1) / FPS), abs=0.01)
        # FFmpeg 7 counts the encoder's delay of 1024 samples, which players leave out.
        assert -1024 / 22_050 - 0.001 < found["audio"][0] < 0.01
        assert found["audio"][1] < shown / FPS


def test_cover_is_not_taken_for_the_film(av: Any, run: Run, tmp_path: Path) -> None:
    given = write_clip(av, tmp_path / "clip.mp4", brightening(), cover=True)
    parts = boxes(given.read_bytes())
    film = boxes(parts[b"moov"][8:])
    cover_first = {b"mvhd": film.pop(b"mvhd"), b"udta": film.pop(b"udta"), **film}
    parts[b"moov"] = parts[b"moov"][:8] + b"".join(cover_first.values())
    given.write_bytes(b"".join(parts.values()))
    with av.open(str(given)) as container:
        assert [stream.width for stream in container.streams.video] == [32, 64]
    assert run("generate", given, "out.mp4", "-q").output == ""
    assert [frame.shape for frame in pictures(av, tmp_path / "out.mp4")] == [(64, 64, 3)] * FPS


def test_webm_is_read_and_colons_in_a_name_are_no_protocol(
    av: Any, run: Run, tmp_path: Path
) -> None:
    write_clip(av, tmp_path / "12:30.webm", brightening(), "libvpx")
    assert run("generate", "12:30.webm", "13:00.mkv", "-q").output == ""
    assert len(pictures(av, tmp_path / "13:00.mkv")) == FPS


@pytest.mark.parametrize("out", ["clip.mp4", ".", "link.mp4", "hard.mp4", "sub/../clip.mp4"])
def test_video_is_never_its_own_output(out: str, clip: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.mp4").symlink_to(clip)
    (tmp_path / "hard.mp4").hardlink_to(clip)
    before = clip.read_bytes()
    refused(run("generate", "clip.mp4", out), "it is the input clip.mp4; give another name")
    assert clip.read_bytes() == before


def test_python_refuses_an_output_that_is_the_input(clip: Path, tiny_bundle: Path) -> None:
    before = clip.read_bytes()
    with pytest.raises(InputError, match="it is the input"):
        Echoes.load(tiny_bundle, device="cpu").add_sound(clip, clip)
    assert clip.read_bytes() == before


def test_playlist_under_a_videos_name_opens_nothing(av: Any, run: Run, tmp_path: Path) -> None:
    """FFmpeg goes by the content, and would open what the list names."""
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    refused(run("generate", "list.mp4", "out.mp4"), "list.mp4 is not a video that can be read: ")
