"""Sounds for training: decoded once, cut to one clip, varied anew at every step."""

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.spec.mel import MelSpec
from echoes_training.data.silence import without_silence

Samples = NDArray[np.float32]


class AudioStore:
    """Decodes clips on first use and keeps them as 16-bit mono in memory."""

    def __init__(self, spec: MelSpec) -> None:
        self.spec = spec
        self._kept: dict[tuple[str, float], NDArray[np.int16]] = {}

    def get(self, path: str, start: float) -> Samples:
        """(n_samples,) from ``start`` seconds on, silence after the end of the file."""
        key = (path, start)
        if key not in self._kept:
            with soundfile.SoundFile(path) as file:
                file.seek(min(round(start * file.samplerate), file.frames))
                wanted = int(np.ceil(self.spec.duration_s * file.samplerate)) + 1
                samples = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
                if file.samplerate != self.spec.sample_rate:
                    samples = soxr.resample(samples, file.samplerate, self.spec.sample_rate)
            clip = np.zeros(self.spec.n_samples, np.int16)
            pcm = np.round(np.clip(samples[: len(clip)], -1, 1) * 32767)
            clip[: len(pcm)] = pcm
            self._kept[key] = clip
        return self._kept[key].astype(np.float32) / np.float32(32767)

    def augmented(self, path: str, start: float, rng: np.random.Generator) -> Samples:
        """The clip without long silences, at a random gain and, half of the time, rotated."""
        samples = without_silence(self.get(path, start), self.spec.sample_rate)
        if rng.random() < 0.5:
            samples = np.roll(samples, int(rng.integers(len(samples))))
        peak = float(np.abs(samples).max())
        gain = min(10 ** (rng.uniform(-6, 6) / 20), 1 / max(peak, 1e-4))
        return np.asarray(samples * gain, dtype=np.float32)


def to_batch(clips: list[Samples]) -> Tensor:
    """(S,) clips to (B, S)."""
    return torch.from_numpy(np.stack(clips))
