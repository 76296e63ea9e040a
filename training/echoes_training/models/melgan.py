"""MelGAN's generator (arXiv 1910.06711), the vocoder that SpecVQGAN published its weights for."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
"""Of every leaky ReLU in the network."""


class ResidualBlock(nn.Module):
    """A dilated convolution over three samples beside a pointwise shortcut: (B, D, S) to itself."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad1d(dilation)
        self.dilated = nn.Conv1d(width, width, 3, dilation=dilation)
        self.pointwise = nn.Conv1d(width, width, 1)
        self.shortcut = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.dilated(self.pad(F.leaky_relu(x, SLOPE)))
        return self.shortcut(x) + self.pointwise(F.leaky_relu(h, SLOPE))


class Level(nn.Module):
    """Upsamples by ``ratio`` and halves the width: (B, 2 * D, S) -> (B, D, S * ratio)."""

    def __init__(self, width: int, ratio: int, blocks: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose1d(
            2 * width, width, 2 * ratio, ratio, padding=ratio // 2 + ratio % 2,
            output_padding=ratio % 2,
        )  # fmt: skip
        self.blocks = nn.ModuleList(ResidualBlock(width, 3**i) for i in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        h = self.upsample(F.leaky_relu(x, SLOPE))
        for block in self.blocks:
            h = block(h)
        return h


class MelGAN(nn.Module):
    """(B, n_mels, T) log-mel in [-1, 1] -> (B, T * product of ratios) samples.

    Weight normalisation, which only shapes training, is folded into the weights. Reflection needs
    at least four frames.
    """

    def __init__(self, n_mels: int, width: int, blocks: int, ratios: tuple[int, ...]) -> None:
        super().__init__()
        widths = [width * 2**i for i in reversed(range(len(ratios)))]
        self.pad = nn.ReflectionPad1d(3)
        self.conv_in = nn.Conv1d(n_mels, 2 * widths[0], 7)
        self.levels = nn.ModuleList(
            Level(w, ratio, blocks) for w, ratio in zip(widths, ratios, strict=True)
        )
        self.conv_out = nn.Conv1d(width, 1, 7)

    def forward(self, mel: Tensor) -> Tensor:
        h = self.conv_in(self.pad((mel + 1) / 2))  # it was trained on mels in [0, 1]
        for level in self.levels:
            h = level(h)
        return torch.tanh(self.conv_out(self.pad(F.leaky_relu(h, SLOPE)))).squeeze(1)
