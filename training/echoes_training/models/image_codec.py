"""A picture codec whose encoder is a pretrained network: its codes stand for what that sees."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.format.tokens import Grid
from echoes_training.models.attention import Block
from echoes_training.models.codec import Codec
from echoes_training.models.conv import ResBlock, group_norm
from echoes_training.models.quantizer import VectorQuantizer
from echoes_training.models.teacher import TEACHERS, check_teacher


@dataclass(frozen=True, kw_only=True)
class ImageCodecConfig:
    """Shape of a picture codec.

    Attributes:
        teacher: a name of ``models.teacher.TEACHERS``.
        maps: how many of the teacher's last maps the codes are made from.
        rows: of codes, as ``columns``.
        cell: codes along each side of a cell. The codes of a cell are parts of one vector (product
            quantization), so that together they say more of it than as many cells would.
        width: of the attention blocks over the cells, on either side of the codes.
        blocks: how many there are on each side.
        decoder_channels: width of each level of the decoder, coarsest first; each level doubles
            both sides, and the last layer once more.
    """

    teacher: str
    maps: int
    rows: int
    columns: int
    cell: int
    width: int
    heads: int
    blocks: int
    decoder_channels: tuple[int, ...]
    codebook_size: int
    codebook_dim: int
    in_channels: int = 3
    architecture: str = "image"

    def __post_init__(self) -> None:
        check_teacher(self.teacher)
        if self.maps < 1:
            raise ValueError(f"maps must be positive, got {self.maps}")
        if self.rows % self.cell or self.columns % self.cell:
            raise ValueError(
                f"rows and columns must be multiples of cell, got {self.rows}, {self.columns} and "
                f"{self.cell}"
            )
        if self.in_channels != 3:
            raise ValueError(f"pictures have 3 channels, got {self.in_channels}")

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.rows // self.cell, self.columns // self.cell

    @property
    def cell_pixels(self) -> int:
        """Along each side of a cell."""
        return int(2 ** (len(self.decoder_channels) + 1))

    @property
    def cell_dim(self) -> int:
        return self.codebook_dim * self.cell**2

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.cells[0] * self.cell_pixels, self.cells[1] * self.cell_pixels


class Mixer(nn.Module):
    """Attention blocks over the cells with learned positions: (B, width, h, w) to the same."""

    def __init__(self, config: ImageCodecConfig) -> None:
        super().__init__()
        (rows, columns), width = config.cells, config.width
        self.row = nn.Parameter(0.02 * torch.randn(rows, 1, width))
        self.column = nn.Parameter(0.02 * torch.randn(1, columns, width))
        self.blocks = nn.ModuleList(
            Block(width, config.heads, dropout=0.0) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        h = (x.permute(0, 2, 3, 1) + self.row + self.column).flatten(1, 2)
        for block in self.blocks:
            h = block(h)
        return self.norm(h).transpose(1, 2).unflatten(2, x.shape[2:])


COLOURS = 4
"""Colours are read and asked back as means of so many patches along each side of a cell."""


class LatentEncoder(nn.Module):
    """The teacher's maps and the colours of the picture to unquantized latents."""

    def __init__(self, config: ImageCodecConfig, shapes: list[tuple[int, int]]) -> None:
        super().__init__()
        self.cell = config.cell
        self.patch = config.cell_pixels // COLOURS
        self.maps = nn.ModuleList(nn.Conv2d(n, config.width, side, side) for n, side in shapes)
        self.colours = nn.Conv2d(config.in_channels, config.width, COLOURS, COLOURS)
        self.mixer = Mixer(config)
        self.out = nn.Conv2d(config.width, config.cell_dim, 1)

    def forward(self, maps: tuple[Tensor, ...], x: Tensor) -> Tensor:
        h = self.colours(F.avg_pool2d(x, self.patch))
        for conv, features in zip(self.maps, maps, strict=True):
            h = h + conv(features)
        return F.pixel_shuffle(self.out(self.mixer(h)), self.cell)


class PictureDecoder(nn.Module):
    """(B, codebook_dim, rows, columns) to (B, 3, H, W), unbounded."""

    def __init__(self, config: ImageCodecConfig) -> None:
        super().__init__()
        width = config.width
        self.cell = config.cell
        self.conv_in = nn.Conv2d(config.cell_dim, width, 1)
        self.mixer = Mixer(config)
        self.narrow = nn.ModuleList()
        self.levels = nn.ModuleList()
        for channels in config.decoder_channels:
            self.narrow.append(nn.Conv2d(width, channels, 1))
            self.levels.append(ResBlock(channels, channels))
            width = channels
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv2d(width, 4 * config.in_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mixer(self.conv_in(F.pixel_unshuffle(z, self.cell)))
        for narrow, level in zip(self.narrow, self.levels, strict=True):
            h = level(F.interpolate(narrow(h), scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), 2)


class ImageCodec(Codec):
    """Teacher, latent encoder, codes, decoder; what teaches the codes belongs to training alone.

    The teacher's maps are standardised by the mean and deviation of each channel, else a few
    channels with large values would be all that a distance sees.
    """

    def __init__(self, config: ImageCodecConfig) -> None:
        super().__init__()
        self.config: ImageCodecConfig = config
        self.teacher = TEACHERS[config.teacher]().requires_grad_(False)
        self.shapes = self._shapes()
        self.encoder = LatentEncoder(config, self.shapes)
        self.quantize = VectorQuantizer(config.codebook_size, config.codebook_dim, normalize=True)
        self.decoder = PictureDecoder(config)
        for i, (n, _) in enumerate(self.shapes):
            self.register_buffer(f"mean{i}", torch.zeros(n, 1, 1))
            self.register_buffer(f"deviation{i}", torch.ones(n, 1, 1))

    @property
    def codebook(self) -> Tensor:
        """(codebook_size, codebook_dim)."""
        return self.quantize.codebook

    def grid(self, height: int, width: int) -> Grid:
        config = self.config
        if (height, width) != config.size:
            raise ValueError(
                f"pictures must be {config.size[0]} x {config.size[1]}, got {height} x {width}"
            )
        return Grid(height=config.rows, width=config.columns, codebook_size=config.codebook_size)

    def _shapes(self) -> list[tuple[int, int]]:
        """Channels of the maps that the codes are made from, and their points along a cell."""
        config = self.config
        with torch.no_grad():
            maps = self.seen(torch.zeros(1, config.in_channels, *config.size))
        shapes = []
        for features in maps:
            side = features.shape[2] // config.cells[0]
            if tuple(features.shape[2:]) != (side * config.cells[0], side * config.cells[1]):
                raise ValueError(
                    f"the maps of teacher {config.teacher} must be multiples of the "
                    f"{config.cells[0]} x {config.cells[1]} cells, got {tuple(features.shape[2:])}"
                )
            shapes.append((features.shape[1], side))
        return shapes

    def seen(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to the maps of the teacher that the codes are made from."""
        return self.teacher(x)[-self.config.maps :]

    @torch.no_grad()
    def measure(self, maps: tuple[Tensor, ...]) -> None:
        """Sets mean and deviation of the channels from the maps of some pictures."""
        for i, features in enumerate(maps):
            self.get_buffer(f"mean{i}").copy_(features.mean(dim=(0, 2, 3))[:, None, None])
            spread = features.std(dim=(0, 2, 3))[:, None, None]
            self.get_buffer(f"deviation{i}").copy_(spread.clamp(min=1e-3))

    def standardised(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(
            (features - self.get_buffer(f"mean{i}")) / self.get_buffer(f"deviation{i}")
            for i, features in enumerate(maps)
        )

    def latents(self, maps: tuple[Tensor, ...], x: Tensor) -> Tensor:
        """Standardised maps and the picture to (B, codebook_dim, h, w)."""
        return self.encoder(maps, x)

    def codes_of(self, maps: tuple[Tensor, ...], x: Tensor) -> Tensor:
        """All of the teacher's maps and the picture to codes (B, h, w) int64."""
        z = self.latents(self.standardised(maps[-self.config.maps :]), x)
        return self.quantize.nearest(z.permute(0, 2, 3, 1).float())

    def encode(self, x: Tensor) -> Tensor:
        return self.codes_of(self.teacher(x), x)

    def decode(self, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.decoder(self.quantize.lookup(codes))

    def summary(self, codes: Tensor) -> Tensor:
        """Of cells, whose codes are parts of one vector."""
        return F.pixel_unshuffle(self.quantize.lookup(codes), self.config.cell).mean(dim=(2, 3))

    @torch.no_grad()
    def spread_codes(self, x: Tensor) -> None:
        """Puts the codes onto latents of ``x``."""
        maps = self.seen(x)
        self.measure(maps)
        z = self.latents(self.standardised(maps), x).permute(0, 2, 3, 1).flatten(0, 2)
        weight = self.quantize.embedding.weight
        repeats = math.ceil(len(weight) / len(z))
        weight.copy_(F.normalize(z, dim=-1).repeat(repeats, 1)[: len(weight)])


class Restorer(nn.Module):
    """What the codes must tell: the teacher's maps, what it sees in all, and the colours.

    It serves training alone (vector-quantized knowledge distillation, BEiT v2, arXiv 2208.06366).
    """

    def __init__(self, config: ImageCodecConfig, shapes: list[tuple[int, int]]) -> None:
        super().__init__()
        self.cell = config.cell
        self.conv_in = nn.Conv2d(config.cell_dim, config.width, 1)
        self.mixer = Mixer(config)
        self.maps = nn.ModuleList(_Unfold(config.width, n, side) for n, side in shapes)
        self.colours = _Unfold(config.width, config.in_channels, COLOURS)
        self.whole = nn.Linear(config.width, shapes[-1][0])

    def forward(self, z: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """(B, codebook_dim, rows, columns) to maps, whole (B, channels) and colours."""
        h = self.mixer(self.conv_in(F.pixel_unshuffle(z, self.cell)))
        return [m(h) for m in self.maps], self.whole(h.mean(dim=(2, 3))), self.colours(h)


class _Unfold(nn.Module):
    """(B, width, h, w) to (B, channels, h * side, w * side)."""

    def __init__(self, width: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.conv = nn.Conv2d(width, channels * side**2, 1)

    def forward(self, h: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(h), self.side)
