"""What a generation gives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from echoes_rt.decode.plan import IntArray
from echoes_rt.format.sampling import Sampling
from echoes_rt.io.audio import write_audio
from echoes_rt.io.image import RgbArray, write_image
from echoes_rt.io.sound_file import Depth, Samples


@dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """How something was made: with the same source and bundle it can be made again.

    Attributes:
        timings_ms: wall-clock time by stage, in the order of the stages; of things that were made
            together, the time of all.
    """

    codes: IntArray
    seed: int
    sampling: Sampling
    bundle: str
    device: str
    timings_ms: dict[str, float]

    @abstractmethod
    def save(self, path: Path | str) -> Path:
        """Writes the file whose suffix says the format; it appears whole or not at all.

        Raises:
            InputError: for an unknown suffix or a place that cannot be written.
        """


@dataclass(frozen=True, kw_only=True)
class Sound(Result):
    """A generated sound.

    Attributes:
        samples: (S,) or (S, C) float32 in [-1, 1]. What was kept of a recording may go beyond, and
            is float64 where float32 would round.
        codes: (rows * columns,) int32, the audio codes behind it, row-major.
        depth: how a file of it holds the samples: as the recording did of which it is a part.
        confidence: of a sound made from a picture, how surely that shows what the model knows, in
            [0, 1]; below 0.5 the sound is a guess. None where the bundle cannot tell.
    """

    samples: Samples
    sample_rate: int
    depth: Depth = "PCM_16"
    confidence: float | None = None

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate

    def save(self, path: Path | str) -> Path:
        """Writes WAV, FLAC or OGG."""
        return write_audio(path, self.samples, self.sample_rate, self.depth)


@dataclass(frozen=True, kw_only=True)
class Picture(Result):
    """A generated picture.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, in the colours of ``icc``.
        codes: (rows * columns,) int32, the image codes behind it, row-major.
        icc: the colour profile of the picture that was filled in; None: sRGB.
    """

    pixels: RgbArray
    icc: bytes | None = None

    def save(self, path: Path | str) -> Path:
        """Writes PNG, JPEG, WebP or BMP."""
        return write_image(path, self.pixels, self.icc)
