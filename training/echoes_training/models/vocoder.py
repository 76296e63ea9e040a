"""Mel to waveform: ConvNeXt with an inverse-STFT head, after Vocos (arXiv 2306.00814)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.format.mel import DB_OFFSET, DB_RANGE, MelSpec, hann_window, mel_filterbank
from echoes_training.models.melgan import MelGAN


@dataclass(frozen=True, kw_only=True)
class VocoderConfig:
    """Shape of a vocoder.

    Attributes:
        width: of every layer; of the last level in MelGAN, whose earlier ones are wider.
        layers: ConvNeXt blocks, or MelGAN's residual blocks per level.
        architecture: ``vocos`` or ``melgan``.
        ratios: upsampling of each level of MelGAN; their product is the mel's hop_length.
        noise: whether Vocos adds a part with random phases, of a magnitude of its own. With one
            magnitude and one phase a bin, steady noise came out as a comb of tones.
        tones: whether Vocos adds a part whose phases run on from frame to frame at frequencies
            that it finds. Without it a steady tone has the same phases in every frame, and with
            them a frequency that is a multiple of the frame rate.
    """

    width: int
    layers: int
    architecture: str = "vocos"
    ratios: tuple[int, ...] = ()
    noise: bool = False
    tones: bool = False

    def __post_init__(self) -> None:
        if self.architecture not in ("vocos", "melgan"):
            raise ValueError(f"architecture must be vocos or melgan, got {self.architecture!r}")
        if bool(self.ratios) != (self.architecture == "melgan"):
            raise ValueError(f"ratios are for melgan alone, got {self.ratios}")


class ConvNeXtBlock(nn.Module):
    """Depthwise 7, then a pointwise MLP of three times the width: (B, D, T) -> (B, D, T)."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, 3 * width)
        self.project = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1 / layers))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.depthwise(x).transpose(1, 2))
        h = self.scale * self.project(F.gelu(self.expand(h)))
        return x + h.transpose(1, 2)


RADIANS = 6.0
"""Of the random phases, per deviation of a bin of the mel: enough to turn them within a frame."""

LOBE = 2
"""Bins on either side of a tone's strongest one that its window spreads it to."""

TONES_BELOW = -2.0
"""Where the level of tones starts in training, in nepers from what the mel says."""


class InverseSTFTHead(nn.Module):
    """(B, T, D) features and their (B, n_mels, T) log-mel -> (B, T * hop_length) samples.

    ONNX has no inverse STFT of real signals, so the inverse real DFT is two constant matrices, one
    for the even part of a frame and one for the odd part (half the operations of one for both), and
    overlap-add is a sum of shifted blocks.
    """

    even: Tensor
    odd: Tensor
    window: Tensor
    turns: Tensor

    def __init__(self, width: int, spec: MelSpec, *, noise: bool, tones: bool = False) -> None:
        super().__init__()
        self.hop_length = spec.hop_length
        self.n_fft = spec.n_fft
        self.n_bins = spec.n_fft // 2 + 1
        n_tones = math.ceil(spec.f_max * spec.n_fft / spec.sample_rate) if tones else 0
        self.sizes = [self.n_bins] * (3 if noise else 2) + [n_tones, n_tones] * tones
        self.out = nn.Linear(width, sum(self.sizes))
        even, odd = _inverse_bases(spec.n_fft)
        self.register_buffer("even", even, persistent=False)
        self.register_buffer("odd", odd, persistent=False)
        self.register_buffer("window", torch.from_numpy(hann_window(spec)), persistent=False)
        # What the mel says of each bin; the network's output adds to it.
        self.level = nn.Linear(spec.n_mels, self.n_bins) if noise or tones else None
        self.noise, self.tones = noise, tones
        if self.level is not None:
            weight, bias = _levels(spec)
            first = 2 * self.n_bins
            with torch.no_grad():
                self.level.weight.copy_(weight)
                self.level.bias.copy_(bias)
                self.out.weight[first:] = 0
                self.out.bias[first:] = 0
                if tones:
                    self.out.bias[-2 * n_tones : -n_tones] = TONES_BELOW
        if noise:
            turns = np.random.default_rng(0).normal(0, RADIANS, (spec.n_mels, self.n_bins))
            self.register_buffer(
                "turns", torch.from_numpy(turns.astype(np.float32)), persistent=False
            )

    def forward(self, h: Tensor, mel: Tensor) -> tuple[Tensor, Tensor | None]:
        """The samples, and (B, T, n_tones) by how much each tone's phase advances, or None.

        The advance is in radians beyond that of the bin's own centre, in (-pi, pi).
        """
        log_magnitude, phase, *more = self.out(h).float().split(self.sizes, dim=-1)
        real, imaginary = _polar(log_magnitude, phase)
        advance = None
        if self.level is not None:
            frames = mel.float().transpose(1, 2)
            level = self.level(frames)
            if self.noise:
                noise = self._noise(more[0] + level, frames)
                real, imaginary = real + noise[0], imaginary + noise[1]
            if self.tones:
                advance = math.pi * torch.tanh(more[-1])
                tones = self._tones(more[-2] + level[..., : self.sizes[-1]], advance)
                real, imaginary = real + tones[0], imaginary + tones[1]
        return self._samples(real, imaginary), advance

    def _noise(self, log_magnitude: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Random phases, and yet the same wherever a long sound is cut.

        They are a mixture of the frame's bands, which even in steady noise are never twice the
        same.
        """
        return _polar(log_magnitude, frames @ self.turns)

    def _tones(self, strength: Tensor, advance: Tensor) -> tuple[Tensor, Tensor]:
        """Phases that run on.

        A spectrogram does not say whether a phase is right, so its frequency learns from real
        phases alone.
        """
        real, imaginary = _polar(strength, self._running(strength.detach(), advance.detach()))
        rest = (0, self.n_bins - self.sizes[-1])
        return F.pad(real, rest), F.pad(imaginary, rest)

    def _samples(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """(B, T, n_bins) spectra to (B, T * hop_length) samples."""
        even, odd = real @ self.even, imaginary @ self.odd
        # Sample n_fft - n has the even part of sample n, and its odd part with the other sign.
        mirrored = (even - odd)[..., 1:-1].flip(-1)
        parts = torch.cat([even + odd, mirrored], dim=-1) * self.window  # (B, T, n_fft)
        n_frames = parts.shape[1]
        weight = self.window.square().expand(1, n_frames, -1)
        samples = self._overlap_add(parts) / self._overlap_add(weight).clamp(min=1e-8)
        start = self.n_fft // 2
        return samples[:, start : start + n_frames * self.hop_length]

    def _running(self, strength: Tensor, advance: Tensor) -> Tensor:
        """(B, T, n) phases that run on, those of a tone's bins locked to its strongest one.

        As single-pass spectrogram inversion has it (Beauregard, Harish and Wyse, DSP 2015): next
        to the strongest bin the window turns the phase by pi a bin.
        """
        n = strength.shape[-1]
        bins = torch.arange(n, device=strength.device)
        around = F.pad(strength, (LOBE, LOBE), value=-1e4)
        shifted = torch.stack([around[..., i : i + n] for i in range(2 * LOBE + 1)], dim=-1)
        strongest = (bins + shifted.argmax(dim=-1) - LOBE).clamp(0, n - 1)  # (B, T, n)
        # hop_length * k / n_fft turns a frame: whole ones are left out, which keeps angles small.
        hops = self.n_fft // self.hop_length
        frame = torch.arange(strength.shape[1], device=strength.device)[:, None]
        centres = (2 * math.pi / hops) * ((frame * bins) % hops).float()
        running = torch.cumsum(advance, dim=1) + centres
        locked = torch.gather(running, -1, strongest)
        return locked + math.pi * ((bins - strongest) % 2).float()

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """(B, T, n_fft) to (B, (T + n_fft / hop_length - 1) * hop_length)."""
        blocks = self.n_fft // self.hop_length
        parts = frames.reshape(*frames.shape[:2], blocks, self.hop_length)
        total = sum(F.pad(parts[:, :, k], (0, 0, k, blocks - 1 - k)) for k in range(blocks))
        assert isinstance(total, Tensor)
        return total.flatten(1)


def _levels(spec: MelSpec) -> tuple[Tensor, Tensor]:
    """Weight and bias that take a log-mel in [-1, 1] to natural logarithms of bins' magnitudes.

    A band's filter has unit area in Hz, so a bin near its centre is the band times the bins'
    distance; between centres the levels in dB are interpolated.
    """
    step = spec.sample_rate / spec.n_fft
    centres = mel_filterbank(spec).argmax(axis=1) * step
    bins = np.arange(spec.n_fft // 2 + 1) * step
    weight = np.stack([np.interp(bins, centres, row) for row in np.eye(spec.n_mels)], axis=1)
    nepers = np.log(10) / 20
    bias = np.full(len(bins), nepers * (DB_RANGE / 2 - DB_OFFSET) + np.log(step))
    return (
        torch.from_numpy((weight * nepers * DB_RANGE / 2).astype(np.float32)),
        torch.from_numpy(bias.astype(np.float32)),
    )


def _polar(log_magnitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts.

    exp(5) is 14 dB above the loudest bin of a full-scale sine; the bound keeps GAN training from
    overflowing (Vocos clips the magnitude at 100).
    """
    magnitude = log_magnitude.clamp(max=5.0).exp()
    return magnitude * phase.cos(), magnitude * phase.sin()


def _inverse_bases(n_fft: int) -> tuple[Tensor, Tensor]:
    """(n_bins, n_bins) each: real bins to the even, imaginary bins to the odd part of a frame.

    Both give samples 0 to n_fft / 2.
    """
    n_bins = n_fft // 2 + 1
    angle = 2 * np.pi * np.outer(np.arange(n_bins), np.arange(n_bins)) / n_fft
    weight = np.full((n_bins, 1), 2.0 / n_fft)
    weight[0] = weight[-1] = 1.0 / n_fft
    even, odd = weight * np.cos(angle), -weight * np.sin(angle)
    return torch.from_numpy(even.astype(np.float32)), torch.from_numpy(odd.astype(np.float32))


class Vocoder(nn.Module):
    """(B, n_mels, T) log-mel in [-1, 1] -> (B, T * hop_length) samples."""

    def __init__(self, config: VocoderConfig, spec: MelSpec) -> None:
        super().__init__()
        self.embed = nn.Conv1d(spec.n_mels, config.width, 7, padding=3)
        self.embed_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.width, config.layers) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = InverseSTFTHead(config.width, spec, noise=config.noise, tones=config.tones)

    def forward(self, mel: Tensor) -> Tensor:
        return self.with_advance(mel)[0]

    def with_advance(self, mel: Tensor) -> tuple[Tensor, Tensor | None]:
        """The samples, and the advance of phases as ``InverseSTFTHead`` gives it."""
        h = self.embed_norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h.transpose(1, 2)), mel)


def make_vocoder(config: VocoderConfig, spec: MelSpec) -> Vocoder | MelGAN:
    """The network that ``config`` names.

    Raises:
        ValueError: if MelGAN's ratios do not multiply to the mel's hop_length.
    """
    if config.architecture == "vocos":
        return Vocoder(config, spec)
    if math.prod(config.ratios) != spec.hop_length:
        raise ValueError(f"ratios must multiply to {spec.hop_length}, got {config.ratios}")
    return MelGAN(spec.n_mels, config.width, config.layers, config.ratios)
