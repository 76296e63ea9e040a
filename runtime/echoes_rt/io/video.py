"""Gives a video the sound of what it shows; needs PyAV, the extra ``video``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echoes_rt.decode.plan import FloatArray
from echoes_rt.errors import InputError
from echoes_rt.io.audio import SOUND_SUFFIXES
from echoes_rt.io.av_file import VIDEO_SUFFIXES, import_av, main_pictures, open_av, said
from echoes_rt.io.image import RgbArray
from echoes_rt.io.output_file import check_not_input, check_place, check_suffix, replacing
from echoes_rt.tasks.stream import MAX_DURATION_S

if TYPE_CHECKING:
    from echoes_rt.options import Options
    from echoes_rt.pipeline import Echoes
    from echoes_rt.tasks.stream import Stream

WRITTEN_VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


def is_video_path(path: Path | str) -> bool:
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def check_video_path(path: Path) -> Path:
    """Says now, before any work, whether ``add_sound`` can write there, and that PyAV is here.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
        BackendError: if PyAV is missing.
    """
    import_av("video")
    check_suffix(path, "a video or its sound", (*WRITTEN_VIDEO_SUFFIXES, *SOUND_SUFFIXES))
    check_place(path)
    return path


def add_sound(echoes: Echoes, source: Path, out: Path, options: Options) -> Stream:
    """Writes ``source``'s pictures, copied as they are, with a new sound that starts with them.

    By its suffix ``out`` may also be of a sound alone. Each window of the sound is guided by the
    frame that is shown in its middle. A sound that the video had is replaced.

    Returns:
        The sound, which is over.

    Raises:
        InputError: if ``source`` is not a video that can be read, or ``out`` cannot be written.
        BackendError: if PyAV is missing.
    """
    check_video_path(out)
    check_not_input(out, [source])
    with open_av(source, "video") as container:
        timeline = _Timeline.of(container, source)
    with open_av(source, "video") as shown, open_av(source, "video") as copied:
        frames = FramesByTime(shown, source)
        middle_s = min(echoes.manifest.mel.duration_s, timeline.duration_s) / 2
        sound = echoes.stream(
            lambda second: frames.at(second + middle_s), duration=timeline.duration_s, **options
        )
        if out.suffix.lower() in SOUND_SUFFIXES:
            sound.save(out)
            return sound
        av = import_av("video")
        try:
            with replacing(out) as partial, av.open(str(partial), "w") as container:
                streams = _add_streams(
                    container, _pictures(copied, source), echoes.manifest.mel.sample_rate, out
                )
                _mux(container, timeline.packets(copied, source), sound, *streams)
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"cannot write {out}: {said(error)}") from error
    return sound


class FramesByTime:
    """The frame that is shown at a time, from the first one on; times must not fall."""

    def __init__(self, container: Any, source: Path) -> None:
        self._frames = container.decode(_pictures(container, source))
        self._source = source
        self._begin: float | None = None
        self._shown: Any = None
        self._next: Any = None

    def at(self, second: float) -> RgbArray:
        """(H, W, 3) RGB; after the end the last frame is shown.

        Raises:
            InputError: if no frame can be decoded.
        """
        try:
            while self._next is None or self._second(self._next) <= second:
                self._shown = self._next or self._shown
                self._next = next(self._frames)
        except StopIteration:
            self._shown = self._next or self._shown
        except import_av("video").FFmpegError as error:
            raise InputError(f"video {self._source} cannot be decoded: {said(error)}") from error
        frame = self._shown or self._next
        if frame is None:
            raise InputError(f"video {self._source} has no frame that can be decoded")
        return _upright(frame)

    def _second(self, frame: Any) -> float:
        time = frame.time or 0.0
        if self._begin is None:
            self._begin = time
        return float(time - self._begin)


@dataclass(frozen=True, kw_only=True)
class _Timeline:
    """When packets are shown and decoded, in units of their stream.

    Attributes:
        origin: when the first picture is shown.
        decoded: for each packet, rising.
        duration_s: from the first picture's begin to the last one's end.
    """

    origin: int
    decoded: list[int]
    duration_s: float

    @classmethod
    def of(cls, container: Any, source: Path) -> _Timeline:
        """Walks through the file once.

        Raises:
            InputError: if it has no pictures, or does not say when they are shown.
        """
        stream = _pictures(container, source)
        # The last one that demux gives is empty: it tells a decoder that nothing follows.
        packets = [packet for packet in container.demux(stream) if packet.size]
        shown = [packet.dts if packet.pts is None else packet.pts for packet in packets]
        if not packets or None in shown:
            raise InputError(
                f"video {source} does not say when its pictures are shown; remux it, e.g. to .mp4"
            )
        kept = [time for packet, time in zip(packets, shown, strict=True) if not packet.is_discard]
        origin = min(kept or shown)
        last = max(range(len(packets)), key=shown.__getitem__)
        length = packets[last].duration or _usual_length(container, stream, shown)
        duration_s = float((shown[last] + length - origin) * stream.time_base)
        if not 0 < duration_s <= MAX_DURATION_S:
            raise InputError(
                f"video {source} lasts {duration_s:g} s, allowed are 0 to {MAX_DURATION_S}"
            )
        decoded = _decoding_times([packet.dts for packet in packets], shown)
        return cls(origin=origin, decoded=decoded, duration_s=duration_s)

    def packets(self, container: Any, source: Path) -> Iterator[Any]:
        """What is to be copied, with the first picture at 0."""
        stream = _pictures(container, source)
        packets = (packet for packet in container.demux(stream) if packet.size)
        for packet, decoded in zip(packets, self.decoded, strict=False):
            packet.pts = (packet.dts if packet.pts is None else packet.pts) - self.origin
            packet.dts = decoded - self.origin
            yield packet


def _decoding_times(given: list[int | None], shown: list[int]) -> list[int]:
    """As given where that makes sense.

    Matroska does not store them, and FFmpeg does not know those of the first pictures; then they
    are the times of showing in rising order, so much earlier that none is decoded too late.
    """
    known = [time for time in given if time is not None]
    is_sound = (
        len(known) == len(given)
        and all(a < b for a, b in itertools.pairwise(known))
        and all(a <= b for a, b in zip(known, shown, strict=True))
    )
    if is_sound:
        return known
    rising = sorted(shown)
    delay = max(early - late for early, late in zip(rising, shown, strict=True))
    return [time - delay for time in rising]


def _usual_length(container: Any, stream: Any, shown: list[int]) -> int | Fraction:
    """Of a picture whose packet does not say how long it is shown."""
    if stream.average_rate:
        return Fraction(1 / (stream.average_rate * stream.time_base))
    if len(shown) > 1:
        return Fraction(max(shown) - min(shown), len(shown) - 1)
    seconds = Fraction(container.duration or 0, import_av("video").time_base)
    return Fraction(seconds / stream.time_base)


def _pictures(container: Any, source: Path) -> Any:
    stream = main_pictures(container)
    if stream is None:
        raise InputError(f"{source} has no pictures in it")
    if stream.codec_context is None:
        raise InputError(
            f"{source} has pictures of a kind that FFmpeg does not know; make it H.264"
        )
    return stream


def _upright(frame: Any) -> RgbArray:
    """Phones write the sensor's rows and say how far to turn them, counterclockwise."""
    rgb = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)), dtype=np.uint8)


def _add_streams(container: Any, copied: Any, sample_rate: int, out: Path) -> tuple[Any, Any]:
    """For the pictures and the sound; not every container takes every kind of pictures."""
    try:
        # Opaque: else an encoder is looked up that has the decoder's name, and many have none.
        pictures = container.add_stream_from_template(copied, opaque=True)
        return pictures, container.add_stream("aac", rate=sample_rate, layout="mono")
    except ValueError as error:
        raise InputError(
            f"cannot write {out}: {error}; .mkv takes nearly every kind of pictures"
        ) from error


def _mux(
    container: Any, packets: Iterator[Any], chunks: Iterator[FloatArray], pictures: Any, sound: Any
) -> None:
    av = import_av("video")
    sample_rate = sound.rate
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
