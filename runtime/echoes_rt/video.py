"""Gives a video the sound of what it shows; needs PyAV, the extra ``video``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from echoes_rt.decode.plan import FloatArray
from echoes_rt.errors import BackendError, InputError
from echoes_rt.image import RgbArray
from echoes_rt.output_file import check_place, check_suffix, replacing
from echoes_rt.tasks.stream import MAX_DURATION_S

if TYPE_CHECKING:
    from echoes_rt.pipeline import Echoes
    from echoes_rt.tasks.call import Call

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
"""What is read as a video, and what can be written."""


def is_video_path(path: Path | str) -> bool:
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def check_video_path(path: Path) -> Path:
    """Says now, before any work, whether a video can be written there, and that PyAV is here.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
        BackendError: if PyAV is missing.
    """
    _import_av()
    check_suffix(path, VIDEO_SUFFIXES)
    check_place(path)
    return path


def add_sound(echoes: Echoes, call: Call, source: Path, out: Path) -> float:
    """Writes ``source``'s pictures, copied as they are, with a new sound.

    Each window of the sound is guided by the frame that is shown in its middle. A sound that the
    video had is replaced.

    Returns:
        Seconds of sound.

    Raises:
        InputError: if ``source`` is not a video that can be read, or ``out`` cannot be written.
        BackendError: if PyAV is missing.
    """
    check_video_path(out)
    with _opened(source) as shown, _opened(source) as copied:
        duration_s = _duration_s(shown, source)
        frames = FramesByTime(shown, source)
        middle_s = min(echoes.manifest.mel.duration_s, duration_s) / 2
        chunks = echoes.stream_call(call, lambda second: frames.at(second + middle_s), duration_s)
        av = _import_av()
        try:
            with replacing(out) as partial, av.open(str(partial), "w") as container:
                streams = _add_streams(container, copied, echoes.manifest.mel.sample_rate, out)
                _mux(container, copied, chunks, *streams)
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"cannot write {out}: {error}") from error
    return duration_s


class FramesByTime:
    """The frame that is shown at a time; times must not fall."""

    def __init__(self, container: Any, source: Path) -> None:
        self._frames = container.decode(video=0)
        self._source = source
        self._shown: Any = None
        self._next: Any = None

    def at(self, second: float) -> RgbArray:
        """(H, W, 3) RGB; after the end the last frame is shown.

        Raises:
            InputError: if no frame can be decoded.
        """
        try:
            while self._next is None or (self._next.time or 0.0) <= second:
                self._shown = self._next or self._shown
                self._next = next(self._frames)
        except StopIteration:
            self._shown = self._next or self._shown
        except _import_av().FFmpegError as error:
            raise InputError(f"video {self._source} cannot be decoded: {error}") from error
        frame = self._shown or self._next
        if frame is None:
            raise InputError(f"video {self._source} has no frame that can be decoded")
        return _upright(frame)


def _upright(frame: Any) -> RgbArray:
    """Phones write the sensor's rows and say how far to turn them, counterclockwise."""
    rgb = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)), dtype=np.uint8)


def _add_streams(container: Any, copied: Any, sample_rate: int, out: Path) -> tuple[Any, Any]:
    """For the pictures and the sound; not every container takes every kind of pictures."""
    try:
        # Opaque: else an encoder is looked up that has the decoder's name, and many have none.
        pictures = container.add_stream_from_template(copied.streams.video[0], opaque=True)
        return pictures, container.add_stream("aac", rate=sample_rate, layout="mono")
    except ValueError as error:
        raise InputError(
            f"cannot write {out}: {error}; .mkv takes nearly every kind of pictures"
        ) from error


def _mux(
    container: Any, copied: Any, chunks: Iterator[FloatArray], pictures: Any, sound: Any
) -> None:
    av = _import_av()
    sample_rate = sound.rate
    packets = (packet for packet in copied.demux(video=0) if packet.dts is not None)
    packet = next(packets, None)
    done = 0
    for chunk in chunks:
        frame = av.AudioFrame.from_ndarray(chunk[None], format="fltp", layout="mono")
        frame.sample_rate = sample_rate
        frame.pts = done
        done += len(chunk)
        container.mux(sound.encode(frame))
        # Pictures and sound lie beside each other in the file, as players like it.
        while packet is not None and packet.dts * packet.time_base <= done / sample_rate:
            packet.stream = pictures
            container.mux(packet)
            packet = next(packets, None)
    container.mux(sound.encode(None))
    while packet is not None:
        packet.stream = pictures
        container.mux(packet)
        packet = next(packets, None)


def _duration_s(container: Any, source: Path) -> float:
    """Of the pictures, or of the file where they do not say."""
    stream = container.streams.video[0]
    if stream.duration:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / _import_av().time_base
    else:
        raise InputError(f"video {source} does not say how long it is; remux it, e.g. to .mp4")
    if not 0 < duration_s <= MAX_DURATION_S:
        raise InputError(
            f"video {source} lasts {duration_s:g} s, allowed are 0 to {MAX_DURATION_S}"
        )
    return duration_s


@contextmanager
def _opened(source: Path) -> Iterator[Any]:
    av = _import_av()
    if not source.is_file():
        raise InputError(f"no video at {source}")
    try:
        # Titles in another encoding are no reason to refuse it.
        container = av.open(str(source), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{source} is not a video that can be read: {error}") from error
    with container:
        if not container.streams.video:
            raise InputError(f"{source} has no pictures in it")
        if container.streams.video[0].codec_context is None:
            raise InputError(
                f"{source} has pictures of a kind that FFmpeg does not know; make it H.264"
            )
        yield container


def _import_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise BackendError("video needs PyAV; install echoes-rt[video]") from error
    module: ModuleType = av
    return module
