"""Reads one stretch of a video with PyAV: its sound, and the frames shown at given times."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from echoes_rt.io.av_file import main_pictures
from echoes_rt.io.image import RgbArray

Samples = NDArray[np.float32]

Reason = Literal["missing", "unreadable", "no sound", "no picture", "too short", "silent", "crash"]

EARLIER_S = 0.5
"""Reading begins this long before the stretch: a decoder's first frames may be incomplete."""


class ClipError(Exception):
    """Why a clip cannot be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)  # what pickle calls the class with
        self.reason = reason
        self.detail = detail


def read_sound(path: Path, offset: float, seconds: float, sample_rate: int) -> Samples:
    """(S,) mono from ``offset`` seconds on, up to ``seconds``; shorter where the file ends.

    Raises:
        ClipError: if the file cannot be decoded or has no sound.
    """
    with _opened(path) as container:
        if not container.streams.audio:
            raise ClipError("no sound", "the file has no audio track")
        stream = container.streams.audio[0]
        origin = _seek(container, stream, offset)
        pieces: list[Samples] = []
        rate, begin, length = 0, 0.0, 0
        to_planar = av.AudioResampler(format="fltp")
        for frame in container.decode(stream):
            if not pieces:
                rate = frame.sample_rate
                begin = 0.0 if frame.time is None else float(frame.time) - origin
            if frame.sample_rate != rate:
                raise ClipError("unreadable", f"the sound changes to {frame.sample_rate} Hz midway")
            for part in to_planar.resample(frame):
                pieces.append(part.to_ndarray().mean(axis=0))
                length += len(pieces[-1])
            if begin + length / rate > seconds:
                break
    if not pieces:
        raise ClipError("no sound", f"nothing is heard from {offset:g} s on")
    samples = np.concatenate(pieces)
    if not np.isfinite(samples).all():
        raise ClipError("unreadable", "the sound holds samples that are not numbers")
    late = round(min(begin, seconds) * rate)
    placed = samples[-late:] if late < 0 else np.pad(samples, (late, 0))
    placed = placed[: int(np.ceil(seconds * rate)) + 1].astype(np.float32)
    if rate != sample_rate:
        placed = soxr.resample(placed, rate, sample_rate)
    return np.asarray(placed[: round(seconds * sample_rate)], dtype=np.float32)


def read_frames(
    path: Path, offset: float, times: Sequence[float], slack_s: float
) -> list[RgbArray]:
    """(H, W, 3) BGR, what is shown at each of the rising ``times``, in seconds after ``offset``.

    Args:
        path: the video.
        offset: seconds into the file.
        times: a frame each.
        slack_s: the last frame is taken to last this much longer than it says.

    Raises:
        ClipError: if the file cannot be decoded, has no pictures or ends before the last time.
    """
    with _opened(path) as container:
        stream = main_pictures(container)  # a cover is no film
        if stream is None:
            raise ClipError("no picture", "the file has no video track")
        stream.codec_context.thread_count = 1  # clips are decoded beside each other, not within
        origin = _seek(container, stream, offset)
        chosen: list[Any] = []
        shown, now, duration = None, 0.0, 1.0 / float(stream.average_rate or 25)
        for frame in container.decode(stream):
            now = (now + duration) if frame.time is None else float(frame.time) - origin
            while len(chosen) < len(times) and now > times[len(chosen)]:
                chosen.append(shown or frame)
            if len(chosen) == len(times):
                break
            shown = frame
        if not chosen and shown is None:
            raise ClipError("no picture", f"nothing is shown from {offset:g} s on")
        end = now + duration
        if len(chosen) < len(times) and times[-1] > end + slack_s:
            raise ClipError("too short", f"the pictures end after {max(0.0, end):.2f} s")
        chosen += [shown] * (len(times) - len(chosen))
        return [_upright(frame) for frame in chosen]


def _upright(frame: Any) -> RgbArray:
    """Phones write the sensor's rows and say how to turn them."""
    pixels = frame.to_ndarray(format="bgr24")
    return np.ascontiguousarray(np.rot90(pixels, k=round(frame.rotation / 90)))


def _seek(container: Any, stream: Any, offset: float) -> float:
    """Goes shortly before ``offset`` seconds; returns what the streams' clock shows there."""
    origin = (container.start_time or 0) / av.time_base + offset
    if offset > EARLIER_S:
        container.seek(int((origin - EARLIER_S) / stream.time_base), stream=stream)
    return origin


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Turns whatever FFmpeg says of a broken file into a ClipError."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ClipError("unreadable", str(error).replace(str(path), path.name)) from error
