"""What every codec is to its users: a medium to a grid of codes, and codes to the medium."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.format.tokens import Grid


class CodecConfig(Protocol):
    """Shape of a codec, a frozen dataclass; ``stages.codecs.make_codec`` builds from it."""

    @property
    def architecture(self) -> str: ...

    @property
    def in_channels(self) -> int: ...


class Codec(nn.Module, ABC):
    """Tokenizing, exporting and evaluation call these methods and reach into no layer.

    A decoder that draws what the codes leave open overrides ``noise_shape``; its ``decode`` is
    then given noise (B, *noise_shape), uniform in [0, 1), and its exported graph takes it, too.
    """

    config: CodecConfig

    @property
    @abstractmethod
    def codebook(self) -> Tensor:
        """(codebook_size, D) what the codes stand for; two codecs with equal ones are the same."""

    @abstractmethod
    def grid(self, height: int, width: int) -> Grid:
        """The codes of an input (in_channels, height, width)."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to codes (B, h, w) int64."""

    @abstractmethod
    def decode(self, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, h, w) codes to (B, in_channels, H, W).

        Args:
            codes: int64.
            noise: (B, *noise_shape) in [0, 1), where that is not empty; None stands for 0.5.
        """

    def summary(self, codes: Tensor) -> Tensor:
        """(B, h, w) codes to (B, S): what they stand for in all, wherever it is."""
        return F.embedding(codes, self.codebook).mean(dim=(1, 2))

    def noise_shape(self, grid: Grid) -> tuple[int, ...]:
        """Of the noise that decodes one grid of codes; empty if decoding draws nothing."""
        return ()

    @abstractmethod
    def spread_codes(self, x: Tensor) -> None:
        """Gives an untrained codec weights with which the inputs ``x`` get different codes."""


def draw_noise(
    codec: Codec, grid: Grid, batch: int, generator: torch.Generator | None = None
) -> Tensor | None:
    """(B, *noise_shape) for ``Codec.decode``, on the CPU; None if the codec takes none."""
    shape = codec.noise_shape(grid)
    return torch.rand(batch, *shape, generator=generator) if shape else None
