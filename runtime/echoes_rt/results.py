"""What a generation gives."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, overload

import numpy as np

from echoes_rt.decode.plan import IntArray
from echoes_rt.errors import InputError
from echoes_rt.format.sampling import Sampling
from echoes_rt.io.audio import SOUND_SUFFIXES, encode_audio, write_audio
from echoes_rt.io.image import PICTURE_SUFFIXES, RgbArray, encode_image, write_image
from echoes_rt.io.sound_file import Depth, Samples


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(ABC):
    """How something was made: with the same source and bundle it can be made again.

    Attributes:
        timings_ms: wall-clock time by stage, in the order of the stages; of things that were made
            together, the time of all.
    """

    _suffixes: ClassVar[tuple[str, ...]]

    codes: IntArray
    seed: int
    sampling: Sampling
    bundle: str
    device: str
    timings_ms: dict[str, float]

    @overload
    def save(self, file: Path | str) -> Path: ...
    @overload
    def save(self, file: IO[bytes], format: str | None = None) -> None: ...
    def save(self, file: Path | str | IO[bytes], format: str | None = None) -> Path | None:
        """Writes a file, in the format that its suffix says.

        Args:
            file: a name, of a file that appears whole or not at all; or one that is open for
                writing bytes.
            format: of an open file, as in ``to_bytes``; by default what its name's suffix says.

        Raises:
            InputError: for an unknown suffix or format, or a place that cannot be written.
        """
        if isinstance(file, (Path, str)):
            if format is not None:
                raise InputError(
                    f"format is for open files, the suffix of {file} says it; leave it out"
                )
            return self._write(Path(file))
        name = getattr(file, "name", None)
        suffix = Path(name).suffix.lower() if isinstance(name, str) else ""  # of a pipe, a number
        if format is None and suffix in self._suffixes:
            format = suffix.removeprefix(".")
        file.write(self.to_bytes(format))
        return None

    @abstractmethod
    def to_bytes(self, format: str | None = None) -> bytes:
        """What ``save`` writes to a file with that suffix, without its dot."""

    @abstractmethod
    def _write(self, path: Path) -> Path: ...

    @abstractmethod
    def _size(self) -> str: ...

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._size()}, seed {self.seed}, {self.bundle} on "
            f"{self.device})"
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class Sound(Result):
    """A generated sound; in a notebook, a player.

    Attributes:
        samples: (S,) or (S, C) float32 in [-1, 1]. What was kept of a recording may go beyond, and
            is float64 where float32 would round.
        codes: (rows * columns,) int32, the audio codes behind it, row-major; of a sound longer than
            a clip, those of its last window.
        depth: how a file of it holds the samples: as the recording did of which it is a part.
        confidence: of a sound made from a picture, how surely that shows what the model knows, in
            [0, 1]; below 0.5 the sound is a guess. None where the bundle cannot tell.
    """

    _suffixes = SOUND_SUFFIXES

    samples: Samples
    sample_rate: int
    depth: Depth = "PCM_16"
    confidence: float | None = None

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate

    def to_bytes(self, format: str | None = None) -> bytes:
        """As a file: ``wav`` by default, ``flac``, ``ogg`` or ``mp3``."""
        return encode_audio(self.samples, self.sample_rate, format or "wav", self.depth)

    def _write(self, path: Path) -> Path:
        return write_audio(path, self.samples, self.sample_rate, self.depth)

    def _size(self) -> str:
        return f"{self.duration_s:.2f} s at {self.sample_rate} Hz"

    def _repr_html_(self) -> str:
        samples = np.asarray(np.clip(self.samples, -1, 1), dtype=np.float32)
        wav = encode_audio(samples, self.sample_rate)
        data = base64.b64encode(wav).decode("ascii")
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'


@dataclass(frozen=True, kw_only=True, repr=False)
class Picture(Result):
    """A generated picture; in a notebook, it is shown.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, in the colours of ``icc``.
        codes: (rows * columns,) int32, the image codes behind it, row-major.
        icc: the colour profile of the picture that was filled in; None: sRGB.
    """

    _suffixes = PICTURE_SUFFIXES

    pixels: RgbArray
    icc: bytes | None = None

    def to_bytes(self, format: str | None = None) -> bytes:
        """As a file: ``png`` by default, ``jpg``, ``webp`` or ``bmp``."""
        return encode_image(self.pixels, format or "png", self.icc)

    def _write(self, path: Path) -> Path:
        return write_image(path, self.pixels, self.icc)

    def _size(self) -> str:
        return f"{self.pixels.shape[1]} x {self.pixels.shape[0]} pixels"

    def _repr_png_(self) -> bytes:
        return self.to_bytes()
