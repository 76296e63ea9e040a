"""The VQGAN codec (arXiv 2012.09841) for pictures and log-mels at every size, by configuration."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.format.tokens import Grid
from echoes_training.models.codec import Codec
from echoes_training.models.conv import (
    AttentionBlock,
    Downsample,
    ResBlock,
    Upsample,
    group_norm,
    norm_layer,
)
from echoes_training.models.quantizer import QuantizerOutput, VectorQuantizer


@dataclass(frozen=True, kw_only=True)
class VQGANConfig:
    """Shape of one codec.

    Attributes:
        in_channels: 3 for pictures, 1 for mels.
        stem: side of the patches that the first layer turns into vectors; 1 is a 3 x 3 convolution.
        channels: width of each encoder level; each level but the last halves both sides.
        decoder_channels: the same, in the same order, for the decoder.
        res_blocks: residual blocks per encoder level; the decoder of ``taming`` has one more.
        encoder_norm: ``group`` (the published networks) or ``batch``.
        attention: whether the last level and the middle attend.
        codebook_dim: width of a code; ``z_channels`` of taming-transformers is the same here.
        normalize: codes on the unit sphere.
        variant: ``taming``, or ``maskgit``, the network that MaskGIT and MAGE use: no attention,
            average pooling, fewer biases, as many blocks in the decoder as in the encoder, and
            nothing between the quantizer and its neighbours.
    """

    in_channels: int
    stem: int
    channels: tuple[int, ...]
    decoder_channels: tuple[int, ...]
    res_blocks: int
    attention: bool
    encoder_norm: str = "group"
    codebook_size: int
    codebook_dim: int
    normalize: bool
    variant: str = "taming"
    architecture: str = "vqgan"

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.decoder_channels) or not self.channels:
            raise ValueError(
                "channels and decoder_channels need the same number of levels, got "
                f"{self.channels} and {self.decoder_channels}"
            )
        if self.encoder_norm not in ("group", "batch"):
            raise ValueError(f"encoder_norm must be group or batch, got {self.encoder_norm!r}")
        if self.variant not in ("taming", "maskgit"):
            raise ValueError(f"variant must be taming or maskgit, got {self.variant!r}")
        if self.variant == "maskgit" and self.attention:
            raise ValueError("the maskgit variant has no attention; set attention to False")

    @property
    def is_maskgit(self) -> bool:
        return self.variant == "maskgit"

    @property
    def factor(self) -> int:
        """Input pixels per code along each side."""
        return int(self.stem * 2 ** (len(self.channels) - 1))


class _Level(nn.Module):
    """Holds the blocks of one resolution under taming-transformers' names."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ModuleList()
        self.attn = nn.ModuleList()
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def run(self, h: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            h = block(h)
            if len(self.attn):
                h = self.attn[i](h)
        return h


class _Middle(nn.Module):
    def __init__(self, channels: int, config: VQGANConfig, norm: str = "group") -> None:
        super().__init__()
        self.block_1 = ResBlock(channels, channels, norm, config.variant)
        self.attn_1 = AttentionBlock(channels) if config.attention else nn.Identity()
        self.block_2 = ResBlock(channels, channels, norm, config.variant)

    def forward(self, h: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(h)))


class Encoder(nn.Module):
    """(B, in_channels, H, W) -> (B, codebook_dim, H / factor, W / factor)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = config.channels
        if config.stem == 1:
            bias = not config.is_maskgit
            self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1, bias=bias)
        else:
            self.conv_in = nn.Conv2d(config.in_channels, widths[0], config.stem, config.stem)
        self.down = nn.ModuleList()
        width = widths[0]
        for i, next_width in enumerate(widths):
            level = _Level()
            for _ in range(config.res_blocks):
                block = ResBlock(width, next_width, config.encoder_norm, config.variant)
                level.block.append(block)
                width = next_width
                if config.attention and i == len(widths) - 1:
                    level.attn.append(AttentionBlock(width))
            if i < len(widths) - 1:
                level.downsample = nn.AvgPool2d(2) if config.is_maskgit else Downsample(width)
            self.down.append(level)
        self.mid = _Middle(width, config, config.encoder_norm)
        self.norm_out = norm_layer(width, config.encoder_norm)
        side = 1 if config.is_maskgit else 3
        self.conv_out = nn.Conv2d(width, config.codebook_dim, side, padding=side // 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            assert isinstance(level, _Level)
            h = level.run(h)
            if level.downsample is not None:
                h = level.downsample(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    """(B, codebook_dim, h, w) -> (B, in_channels, h * factor, w * factor), unbounded."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = config.decoder_channels
        width = widths[-1]
        self.conv_in = nn.Conv2d(config.codebook_dim, width, 3, padding=1)
        self.mid = _Middle(width, config)
        n_blocks = config.res_blocks if config.is_maskgit else config.res_blocks + 1
        levels = []
        for i in reversed(range(len(widths))):
            level = _Level()
            for _ in range(n_blocks):
                level.block.append(ResBlock(width, widths[i], variant=config.variant))
                width = widths[i]
                if config.attention and i == len(widths) - 1:
                    level.attn.append(AttentionBlock(width))
            if i > 0:
                level.upsample = Upsample(width)
            levels.append(level)
        self.up = nn.ModuleList(reversed(levels))  # up.0 is the finest, as in taming-transformers
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv2d(width, config.in_channels * config.stem**2, 3, padding=1)
        self.unstem = nn.PixelShuffle(config.stem)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for i in reversed(range(len(self.up))):
            level = self.up[i]
            assert isinstance(level, _Level)
            h = level.run(h)
            if level.upsample is not None:
                h = level.upsample(h)
        return self.unstem(self.conv_out(F.silu(self.norm_out(h))))


class VQGAN(Codec):
    """Encoder, quantizer and decoder; the discriminator belongs to training alone."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config: VQGANConfig = config
        dim = config.codebook_dim
        self.encoder = Encoder(config)
        self.quant_conv: nn.Module = nn.Identity() if config.is_maskgit else nn.Conv2d(dim, dim, 1)
        self.quantize = VectorQuantizer(config.codebook_size, dim, normalize=config.normalize)
        self.post_quant_conv: nn.Module = (
            nn.Identity() if config.is_maskgit else nn.Conv2d(dim, dim, 1)
        )
        self.decoder = Decoder(config)

    @property
    def codebook(self) -> Tensor:
        """(codebook_size, codebook_dim)."""
        return self.quantize.codebook

    def grid(self, height: int, width: int) -> Grid:
        config = self.config
        return Grid(
            height=height // config.factor,
            width=width // config.factor,
            codebook_size=config.codebook_size,
        )

    @torch.no_grad()
    def spread_codes(self, x: Tensor) -> None:
        """Moves the latents of ``x`` around zero, where the codes are."""
        last = self.encoder.conv_out if self.config.is_maskgit else self.quant_conv
        last.get_parameter("bias").sub_(self.latents(x).mean(dim=(0, 2, 3)))

    def latents(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to unquantized latents (B, codebook_dim, h, w)."""
        return self.quant_conv(self.encoder(x))

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to codes (B, h, w) int64."""
        return self.quantize.nearest(self.latents(x).permute(0, 2, 3, 1).float())

    def decode_latents(self, z_q: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(z_q))

    def decode(self, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, h, w) codes to (B, C, H, W)."""
        return self.decode_latents(self.quantize.lookup(codes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, QuantizerOutput]:
        """Returns the reconstruction, the unquantized latents, and the quantizer's output."""
        z = self.latents(x)
        quantized = self.quantize(z)
        return self.decode_latents(quantized.z_q), z, quantized
