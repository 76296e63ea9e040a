"""The sounds and pictures of a folder, as the embedders of the published protocols read them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.io.audio import read_sound
from echoes_rt.io.image import read_image

Samples = NDArray[np.float32]

SUFFIXES = {
    "sound": (".wav", ".flac", ".ogg", ".mp3"),
    "picture": (".jpg", ".jpeg", ".png", ".webp", ".bmp"),
}
SILENT_RMS_DBFS = -60.0


def media_files(folder: Path, medium: str) -> list[Path]:
    """Sorted by name.

    Raises:
        InputError: if two have one name.
    """
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES[medium])
    files = sorted(found, key=lambda path: path.stem)
    for first, second in itertools.pairwise(files):
        if first.stem == second.stem:
            raise InputError(
                f"{first} and {second.name} have one name, and names tell which files belong "
                "together; rename or move one"
            )
    return files


@dataclass(frozen=True, kw_only=True)
class SoundFile:
    """What is known of a sound without listening, but for whether it is silent."""

    path: Path
    sample_rate: int
    duration_s: float

    @classmethod
    def of(cls, path: Path) -> "SoundFile":
        """Raises InputError if it cannot be read."""
        try:
            info = soundfile.info(path)
        except (soundfile.LibsndfileError, OSError) as error:
            raise InputError(f"{path} is not a sound that can be read: {error}") from error
        return cls(path=path, sample_rate=info.samplerate, duration_s=info.duration)

    @property
    def is_silent(self) -> bool:
        samples, _ = read_sound(self.path)
        power = float(np.square(samples, dtype=np.float64).mean())
        return bool(10 * np.log10(power + 1e-30) < SILENT_RMS_DBFS)


def read_clip(path: Path, sample_rate: int, clip_s: float) -> Samples:
    """The first ``clip_s`` seconds as av-benchmark reads them; not padded if there are fewer.

    The mean of the channels, less its own mean over the whole file, resampled, then cut.

    Returns:
        (S,).
    """
    samples, source_rate = read_sound(path)
    mono = samples.mean(axis=1)
    mono -= mono.mean()
    return resample(mono, source_rate, sample_rate)[: int(sample_rate * clip_s)]


def fitted(samples: Samples, n_samples: int) -> Samples:
    """Cut, or padded with zeros at the end, to (n_samples,)."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))


def read_picture(
    path: Path, size: int, mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """As CLIP reads it: bicubic, the short side to ``size``, its middle, normalised.

    Returns:
        (3, size, size).
    """
    import torch
    from torch.nn import functional as F

    pixels = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None].float()
    height, width = pixels.shape[2:]
    short = min(height, width)
    shape = (size * height // short, size * width // short)
    # Antialiased, with the same filter as Pillow's, and like there rounded to whole values.
    resized = F.interpolate(pixels, shape, mode="bicubic", antialias=True).round().clamp(0, 255)
    top, left = (round((side - size) / 2) for side in shape)
    middle = resized[0, :, top : top + size, left : left + size] / 255
    values = (middle - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    return np.asarray(values.numpy(), dtype=np.float32)


ZERO_CROSSINGS = 6
ROLLOFF = 0.99


def resample(
    samples: NDArray[np.float32], sample_rate: int, wanted_rate: int
) -> NDArray[np.float32]:
    """(S,) to (ceil(S * wanted_rate / sample_rate),), as torchaudio's ``Resample`` does by default.

    Another good resampler moves a Frechet distance by tens (README of audioldm_eval).

    Output n is the sum over inputs k of ``x[k] h(n / wanted_rate - k / sample_rate)`` with
    ``h(t) = c / sample_rate * sinc(c t) * cos(pi c t / (2 * 6))**2``, zero where ``|c t| > 6``, and
    ``c`` 0.99 times the lower of the two rates.
    """
    if sample_rate == wanted_rate:
        return samples
    divisor = math.gcd(sample_rate, wanted_rate)
    old, new = sample_rate // divisor, wanted_rate // divisor
    # The filter has the same taps again after ``new`` outputs, which are ``old`` inputs.
    kernel, reach = _kernel(old, new)
    padded = np.pad(samples, (reach, reach + old))
    frames = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[1])[::old]
    length = math.ceil(len(samples) * wanted_rate / sample_rate)
    return np.asarray((frames @ kernel.T).reshape(-1)[:length], dtype=np.float32)


def _kernel(old: int, new: int) -> tuple[NDArray[np.float32], int]:
    """(new, 2 reach + old): the taps of ``new`` outputs in turn, from ``reach`` inputs before."""
    cutoff = ROLLOFF * min(old, new)
    reach = math.ceil(ZERO_CROSSINGS * old / cutoff)
    inputs = np.arange(-reach, reach + old) / old
    outputs = np.arange(new)[:, None] / new
    t = np.clip((inputs - outputs) * cutoff, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    taps = np.sinc(t) * np.cos(np.pi * t / (2 * ZERO_CROSSINGS)) ** 2 * cutoff / old
    return taps.astype(np.float32), reach
