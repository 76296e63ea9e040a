"""Sound files, block by block: by libsndfile, and by PyAV what that cannot read or count."""

from __future__ import annotations

import itertools
import math
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from echoes_rt.errors import BackendError, InputError
from echoes_rt.install import install_line
from echoes_rt.io.av_file import AV_SOUND_SUFFIXES, VIDEO_SUFFIXES, import_av, open_av, said
from echoes_rt.io.sound_count import why_miscounted
from echoes_rt.io.source_file import MemoryFile, SourceFile

Samples = NDArray[np.float32] | NDArray[np.float64]
SamplesT = TypeVar("SamplesT", bound=Samples)

Depth = Literal["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]
"""How a recording holds its samples, in libsndfile's words; what has fewer bits fits into 16."""

MAX_DURATION_S = 3600
MAX_SAMPLE_RATE = 1_000_000
MAX_CHANNELS = 1024

MAX_PEAK = 16.0
"""Recordings in floats may go beyond 1; beyond this they are numbers of another scale."""

_DEPTHS: dict[str, Depth] = {
    "PCM_24": "PCM_24",
    "PCM_32": "PCM_32",
    "ALAC_20": "PCM_24",
    "ALAC_24": "PCM_24",
    "ALAC_32": "PCM_32",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
}
_WIDE = ("PCM_32", "DOUBLE")  # what float32 would round

# Endings that libsndfile reads under the name of another format.
_OTHER_SUFFIXES = {"aif", "aifc", "oga", "opus", "snd"}

_BLOCK_VALUES = 1 << 20


# How the containers begin that libsndfile does not read: MP4, Matroska, and AAC's own.
_AV_CONTENT = re.compile(rb"....ftyp|\x1a\x45\xdf\xa3|\xff[\xf0\xf1\xf8\xf9]", re.DOTALL)


def is_sound_content(file: MemoryFile) -> bool:
    """Whether it begins as a sound, or a video, of a kind that is read."""
    if _AV_CONTENT.match(file.data):
        return True
    try:
        soundfile.SoundFile(file.open()).close()
    except soundfile.LibsndfileError:
        return False
    return True


def is_sound_path(path: Path | str) -> bool:
    """Whether the suffix is one of a sound format, so that it cannot be meant as a picture."""
    suffix = Path(path).suffix.lower()
    name = suffix.lstrip(".")
    is_known = name.upper() in soundfile.available_formats() or name in _OTHER_SUFFIXES
    return is_known or suffix in AV_SOUND_SUFFIXES


class SoundSource(ABC):
    """An open sound file.

    Attributes:
        sample_rate: in Hz.
        channels: of each frame.
        depth: what keeps every sample as it is.
        n_frames: None where only reading to the end tells, until then.
    """

    sample_rate: int
    channels: int
    depth: Depth
    n_frames: int | None

    @abstractmethod
    def blocks(self, begin: int, end: int | None) -> Iterator[Samples]:
        """(n, channels) of the frames from ``begin`` on, up to ``end`` or where the file ends."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the blocks."""
        return np.dtype(np.float64 if self.depth in _WIDE else np.float32)

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.dtype.itemsize


@contextmanager
def open_sound(file: SourceFile) -> Iterator[SoundSource]:
    """What is known of a sound file before it is decoded.

    Raises:
        InputError: if it cannot be read, or is longer or of another rate than is allowed.
        BackendError: if PyAV is needed and missing.
    """
    try:
        is_av = _is_av(file)
        is_empty = not (len(file.data) if isinstance(file, MemoryFile) else file.stat().st_size)
        reason = None if is_av or is_empty else why_miscounted(file)
        if reason is not None and reason.endswith("WAV files"):
            raise InputError(f"sound {file} {reason}, of which only the first would be read")
        opened = _open_by_av(file, reason) if is_av or reason else _open_by_libsndfile(file)
        with opened as source:
            _check(source, file)
            yield source
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{file} is not a sound that can be read: {said(error)}") from error


def _is_av(file: SourceFile) -> bool:
    """Whether PyAV is to read it, by its suffix, or by its content if it has no name."""
    if isinstance(file, MemoryFile):
        return _AV_CONTENT.match(file.data) is not None
    if not file.is_file():
        raise InputError(f"no sound file at {file}")
    suffix = file.suffix.lower()
    if suffix == ".raw":
        raise InputError(
            f"{file} is not a sound that can be read: raw samples do not say their rate; "
            "make a .wav of them"
        )
    return suffix in (*AV_SOUND_SUFFIXES, *VIDEO_SUFFIXES)


def _check(source: SoundSource, path: SourceFile) -> None:
    if not 1 <= source.sample_rate <= MAX_SAMPLE_RATE:
        raise InputError(
            f"sound {path} has {source.sample_rate} samples a second, allowed are 1 to "
            f"{MAX_SAMPLE_RATE}; resample it"
        )
    if (source.n_frames or 0) > MAX_DURATION_S * source.sample_rate:
        raise too_long(path)


def too_long(path: SourceFile) -> InputError:
    return InputError(f"sound {path} is longer than the {MAX_DURATION_S} s allowed; cut it")


class _BySndfile(SoundSource):
    def __init__(self, file: soundfile.SoundFile) -> None:
        self.file = file
        self.sample_rate = int(self.file.samplerate)
        self.channels = int(self.file.channels)
        self.depth: Depth = _DEPTHS.get(self.file.subtype, "PCM_16")
        self.n_frames: int | None = int(self.file.frames)

    def blocks(self, begin: int, end: int | None) -> Iterator[Samples]:
        n_block = max(1, _BLOCK_VALUES // self.channels)
        if self.file.seekable():
            self.file.seek(begin)
        else:  # GSM and some ADPCM can only be read from the start
            for block in range(0, begin, n_block):
                self.file.read(min(n_block, begin - block))
        left = (self.n_frames or 0 if end is None else end) - begin
        while left > 0:
            block = self.file.read(min(left, n_block), dtype=self.dtype.name, always_2d=True)
            if not len(block):
                return
            left -= len(block)
            yield block


@contextmanager
def _open_by_libsndfile(file: SourceFile) -> Iterator[SoundSource]:
    opened: Any
    if isinstance(file, MemoryFile):
        opened = file.open()
    else:  # as bytes, because soundfile cannot encode names that are not UTF-8
        opened = str(file) if sys.platform == "win32" else os.fsencode(file)
    with soundfile.SoundFile(opened) as sound:
        yield _BySndfile(sound)


class _ByAv(SoundSource):
    def __init__(self, container: Any, path: SourceFile) -> None:
        self.container, self.path = container, path
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise InputError(f"{self.path} has no sound in it that FFmpeg knows")
        codec = stream.codec_context
        self._stream = stream
        self.sample_rate = int(codec.sample_rate)
        self.channels = int(codec.layout.nb_channels)
        self.depth: Depth = _av_depth(codec)
        self.n_frames: int | None = None

    def blocks(self, begin: int, end: int | None) -> Iterator[Samples]:
        done = 0
        for block in self._blocks():
            first = max(0, begin - done)
            last = len(block) if end is None else min(len(block), end - done)
            done += len(block)
            if done > MAX_DURATION_S * self.sample_rate:
                raise too_long(self.path)
            if last > first:
                yield block[first:last]
            if end is not None and done >= end:
                return
        self.n_frames = done

    def _blocks(self) -> Iterator[Samples]:
        av = import_av(str(self.path))
        kind = "dbl" if self.dtype == np.float64 else "flt"
        resampler: Any = None
        key: tuple[str, str, int] | None = None
        layout = None
        # Joined recordings may change in the middle; all become like the first.
        for frame in itertools.chain(self.container.decode(self._stream), [None]):
            now = None if frame is None else (frame.format.name, frame.layout.name, frame.rate)
            if now != key:
                yield from self._arrays([] if resampler is None else resampler.resample(None))
                layout = layout or frame.layout
                resampler, key = av.AudioResampler(kind, layout, self.sample_rate), now
            if frame is not None:
                frame.pts = None
                yield from self._arrays(resampler.resample(frame))

    def _arrays(self, frames: list[Any]) -> Iterator[Samples]:
        return (frame.to_ndarray().reshape(-1, self.channels) for frame in frames)


def _av_depth(codec: Any) -> Depth:
    """Of a decoder's samples: only codecs without loss have more than 16 bits to keep."""
    name, samples = codec.name, codec.format.name.removesuffix("p")
    if not name.startswith(("pcm_", "alac", "flac", "wavpack", "tta")):
        return "PCM_16"
    if samples == "s32":
        return "PCM_32" if "32" in name else "PCM_24"
    depths: dict[str, Depth] = {"flt": "FLOAT", "dbl": "DOUBLE"}
    return depths.get(samples, "PCM_16")


@contextmanager
def _open_by_av(path: SourceFile, reason: str | None) -> Iterator[SoundSource]:
    try:
        with open_av(path, "sound") as container:
            yield _ByAv(container, path)
    except BackendError as error:
        if reason is None:
            raise
        raise BackendError(
            f"sound {path} {reason}; libsndfile would read a part of it: {install_line('video')}"
        ) from error


def checked(block: SamplesT, name: SourceFile | str) -> SamplesT:
    """The block, if its samples are numbers and in the scale of sounds."""
    peak = float(np.abs(block).max(initial=0))  # NaN if one is none
    if not math.isfinite(peak):
        raise InputError(f"sound {name} has samples that are not numbers")
    if peak > MAX_PEAK:
        raise InputError(
            f"sound {name} has samples up to {peak:g}, floats are to lie in [-1, 1]; divide them, "
            "those of a 16-bit scale by 32768"
        )
    return block
