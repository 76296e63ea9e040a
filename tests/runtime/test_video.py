"""The sound of a video."""

import json
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from echoes_rt import Echoes, InputError
from echoes_rt.cli import main
from echoes_rt.video import FramesByTime

Run = Callable[..., Result]
FPS = 10


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av")


@pytest.fixture
def clip(av: Any, tmp_path: Path) -> Path:
    """One second in which each frame is brighter than the one before, with a silent sound."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for i in range(FPS):
            pixels = np.full((64, 64, 3), 25 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOES_RT_BUNDLE", str(tiny_bundle))
    return lambda *arguments: CliRunner().invoke(main, [str(part) for part in arguments])


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


def test_same_seed_gives_the_same_sound(av: Any, clip: Path, run: Run, tmp_path: Path) -> None:
    heard = []
    for seed in (1, 1, 2):
        assert run("generate", "clip.mp4", "out.mp4", "--seed", seed, "-q").output == ""
        heard.append(sound(av, tmp_path / "out.mp4"))
    np.testing.assert_array_equal(heard[0], heard[1])
    assert not np.array_equal(heard[0], heard[2])


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


def test_frames_are_found_by_time(av: Any, clip: Path) -> None:
    with av.open(str(clip)) as container:
        frames = FramesByTime(container, clip)
        levels = [float(frames.at(t).mean()) for t in (0.0, 0.05, 0.1, 0.52, 0.9, 5.0)]
    np.testing.assert_allclose(levels, [0, 0, 25, 125, 225, 225], atol=4)


def test_missing_pyav_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    result = run("generate", "clip.mp4", "out.mp4")
    assert result.stderr == "Error: video needs PyAV; install echoes-rt[video]\n"
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("none.mp4", "out.mp4"), "no video at none.mp4"),
        (("text.mp4", "out.mp4"), "text.mp4 is not a video that can be read: "),
        (("clip.mp4", "out.avi"), "cannot write out.avi: unknown suffix '.avi'; use .mp4, .m4v, "),
        (("clip.mp4", "no/out.mp4"), "cannot write no/out.mp4: there is no folder no; make it"),
        (("clip.mp4", "out.mp4", "--count", 2), "videos go alone, without --count, --dur"),
        (("clip.mp4", "out.mp4", "--start", 1), "videos go alone, without --count, --duration and"),
    ],
)
def test_bad_video_is_one_line(
    arguments: tuple[object, ...], line: str, av: Any, clip: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    result = run("generate", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {line}")
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "text.mp4"]


def test_video_without_pictures_is_refused(av: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=22_050, layout="mono")
        quiet = np.zeros((1, 4096), np.float32)
        frame = av.AudioFrame.from_ndarray(quiet, format="fltp", layout="mono")
        frame.sample_rate = 22_050
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"sound\.mp4 has no pictures in it"):
        Echoes.load(tiny_bundle, device="cpu").add_sound(path, tmp_path / "out.mp4")
