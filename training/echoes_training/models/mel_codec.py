"""A codec of log-mels whose decoder draws texture: what a code leaves open is noise, not a mean."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from echoes_rt.format.tokens import Grid
from echoes_training.losses import Verdict
from echoes_training.models.codec import Codec

NOISE_CHANNELS = 4
"""Independent numbers for each 2 x 2 bins of the log-mel: one a bin."""


@dataclass(frozen=True, kw_only=True)
class MelCodecConfig:
    """Shape of a codec of log-mels.

    Attributes:
        rows: of the grid of codes; the log-mel has ``8 * rows`` bands.
        channels: width of the encoder at a grid of 1/2 x 1/2, 1/2 x 1/4, 1/4 x 1/8, 1/8 x 1/16 of
            the log-mel.
        decoder_channels: the same, in the same order, for the decoder.
        blocks: residual blocks at each of these, in the decoder.
        mixer: hidden width of the layers that see a whole column of the grid at once.
        levels: values of each dimension of a code (finite scalar quantization, arXiv 2309.15505).
    """

    rows: int
    channels: tuple[int, int, int, int]
    decoder_channels: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int] = (1, 1, 1, 1)
    mixer: int
    levels: tuple[int, ...] = (4, 4, 4, 4, 4)
    in_channels: int = 1
    architecture: str = "mel"

    def __post_init__(self) -> None:
        if min(self.levels, default=0) < 2:
            raise ValueError(f"levels must be 2 or more each, got {self.levels}")

    @property
    def codebook_size(self) -> int:
        return math.prod(self.levels)


class ChannelNorm(nn.Module):
    """Unit mean square over the channels of each place: nothing depends on a clip's length."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(dim=1, keepdim=True) + 1e-6).rsqrt() * self.weight


class Block(nn.Module):
    """Two 3 x 3 convolutions beside the identity: (B, C, H, W) -> the same.

    Fine grids do without the norm: there it would cost more than the convolutions.
    """

    def __init__(self, channels: int, *, fine: bool = False) -> None:
        super().__init__()
        self.norm: nn.Module = nn.Identity() if fine else ChannelNorm(channels)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.conv_2.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_2(F.silu(self.conv_1(F.silu(self.norm(x)))))


class ColumnMixer(nn.Module):
    """Lets all bands of a moment know of one another: (B, C, rows, W) -> the same."""

    def __init__(self, channels: int, rows: int, hidden: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.rows = nn.Parameter(torch.zeros(channels, rows, 1))
        self.squeeze = nn.Conv2d(channels, hidden, (rows, 3), padding=(0, 1))
        self.expand = nn.Conv2d(hidden, channels * rows, 1)
        nn.init.zeros_(self.expand.weight)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.silu(self.squeeze(self.norm(x) + self.rows))
        mixed = self.expand(hidden)  # (B, C * rows, 1, W)
        return x + mixed.reshape(x.shape[0], x.shape[1], -1, mixed.shape[-1]) + self.rows


class FiniteScalarQuantizer(nn.Module):
    """Each dimension of a latent to one of its levels; all combinations are the codebook."""

    codebook: Tensor
    sizes: Tensor
    places: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        values = [torch.linspace(-1, 1, level) for level in levels]
        table = torch.cartesian_prod(*reversed(values)).flip(-1)  # the first dimension runs fastest
        places = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("codebook", table, persistent=False)
        self.register_buffer("sizes", torch.tensor(levels), persistent=False)
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def digits(self, z: Tensor) -> Tensor:
        """(B, D, h, w) latents to which level each is, as numbers from 0 on, float."""
        sizes = self.sizes[:, None, None]
        return (sizes * z.float().sigmoid() - 0.5).round().clamp(min=0).minimum(sizes - 1.0)

    def forward(self, z: Tensor) -> Tensor:
        """(B, D, h, w) latents to levels in [-1, 1], with the straight-through gradient."""
        sizes = self.sizes[:, None, None]
        smooth = (sizes * z.float().sigmoid() - 0.5) / (sizes - 1) * 2 - 1
        return smooth + (self.digits(z) / (sizes - 1) * 2 - 1 - smooth).detach()

    def codes(self, z: Tensor) -> Tensor:
        """(B, D, h, w) latents to (B, h, w) int64."""
        return (self.digits(z).long() * self.places[:, None, None]).sum(dim=1)

    def lookup(self, codes: Tensor) -> Tensor:
        """(B, h, w) codes to (B, D, h, w)."""
        return F.embedding(codes, self.codebook).permute(0, 3, 1, 2)


class Encoder(nn.Module):
    """(B, 1, H, W) -> (B, D, H / 8, W / 16)."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()
        a, b, c, d = config.channels
        self.unshuffle = nn.PixelUnshuffle(2)
        self.stem = nn.Conv2d(4, a, 3, padding=1)
        self.down_1 = nn.Conv2d(a, b, (3, 4), stride=(1, 2), padding=1)
        self.down_2 = nn.Conv2d(b, c, 4, stride=2, padding=1)
        self.down_3 = nn.Conv2d(c, d, 4, stride=2, padding=1)
        self.block_1, self.block_2 = Block(a, fine=True), Block(b, fine=True)
        self.block_3 = Block(c)
        self.mixer = ColumnMixer(d, config.rows, config.mixer)
        self.block_4, self.block_5 = Block(d), Block(d)
        self.norm = ChannelNorm(d)
        self.out = nn.Conv2d(d, len(config.levels), 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.down_1(self.block_1(self.stem(self.unshuffle(x))))
        h = self.down_3(self.block_3(self.down_2(self.block_2(h))))
        h = self.block_5(self.block_4(self.mixer(h)))
        return self.out(F.silu(self.norm(h)))


class Decoder(nn.Module):
    """Levels (B, D, h, w) and noise (B, NOISE_CHANNELS, 4 h, 8 w) -> (B, 1, 8 h, 16 w)."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()
        a, b, c, d = config.decoder_channels
        self.conv_in = nn.Conv2d(len(config.levels), d, 3, padding=1)
        self.mixer = ColumnMixer(d, config.rows, config.mixer)
        self.noise_coarse = nn.Conv2d(NOISE_CHANNELS, b, (3, 4), stride=(1, 2), padding=1)
        self.noise_fine = nn.Conv2d(NOISE_CHANNELS, a, 3, padding=1)
        self.up_3 = nn.Conv2d(d, c, 3, padding=1)
        self.up_2 = nn.Conv2d(c, b, 3, padding=1)
        self.up_1 = nn.Conv2d(b, a, 3, padding=1)
        levels = zip(config.decoder_channels, config.blocks, strict=True)
        self.levels = nn.ModuleList(
            nn.Sequential(*(Block(width, fine=place < 2) for _ in range(count)))
            for place, (width, count) in enumerate(levels)
        )
        self.out = nn.Conv2d(a, 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, z: Tensor, noise: Tensor) -> Tensor:
        noise = (noise - 0.5) * math.sqrt(12)  # uniform in [0, 1) to unit variance
        h = self.levels[3](self.mixer(self.conv_in(z)))
        h = self.levels[2](_doubled(self.up_3(h), 2))
        h = _doubled(self.up_2(h), 2)
        h = self.levels[1](h + self.noise_coarse(noise))
        h = _doubled(self.up_1(h), 1)
        h = self.levels[0](h + self.noise_fine(noise))
        return self.shuffle(self.out(F.silu(h)))


def _doubled(x: Tensor, rows: int) -> Tensor:
    """Nearest-neighbour upsampling, twice along time and ``rows`` times along frequency."""
    return F.interpolate(x, scale_factor=(float(rows), 2.0), mode="nearest")


class MelCodec(Codec):
    """Encoder, quantizer and decoder; discriminators belong to training alone."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()
        self.config: MelCodecConfig = config
        self.encoder = Encoder(config)
        self.quantize = FiniteScalarQuantizer(config.levels)
        self.decoder = Decoder(config)

    @property
    def codebook(self) -> Tensor:
        """(codebook_size, channels): the encoder's features that each code's levels stand for.

        The levels alone are the same in every such codec.
        """
        return self.quantize.codebook @ self.encoder.out.weight.flatten(1)

    def grid(self, height: int, width: int) -> Grid:
        size = self.config.codebook_size
        return Grid(height=height // 8, width=width // 16, codebook_size=size)

    def noise_shape(self, grid: Grid) -> tuple[int, ...]:
        return (NOISE_CHANNELS, 4 * grid.height, 8 * grid.width)

    @torch.no_grad()
    def spread_codes(self, x: Tensor) -> None:
        """Brings the latents of ``x`` to zero mean and to a spread that reaches all levels."""
        z = self.encoder(x)
        out = self.encoder.out
        scale = 1.5 / (z.std(dim=(0, 2, 3)) + 1e-6)
        assert out.bias is not None
        out.bias.sub_(z.mean(dim=(0, 2, 3))).mul_(scale)
        out.weight.mul_(scale[:, None, None, None])

    def encode(self, x: Tensor) -> Tensor:
        return self.quantize.codes(self.encoder(x))

    def decode(self, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        grid = Grid(
            height=codes.shape[1], width=codes.shape[2], codebook_size=self.config.codebook_size
        )
        if noise is None:
            noise = torch.full((len(codes), *self.noise_shape(grid)), 0.5, device=codes.device)
        return self.decoder(self.quantize.lookup(codes), noise)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes, quantizes with the straight-through gradient, and decodes.

        Returns:
            (B, 1, H, W) and the unquantized latents.
        """
        z = self.encoder(x)
        return self.decoder(self.quantize(z), noise), z


class MelDiscriminator(nn.Module):
    """Three views of (B, 1, H, W): patches, coarse patches, and whole columns over time.

    Each gives scores and hidden features; a channel that says the frequency lets a patch know
    where it is. Weight norm, because under spectral norm they hardly told real from decoded.
    """

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.patches = _patch_layers(width)
        self.coarse_patches = _patch_layers(width)
        wide = 8 * width
        sizes = (bands, wide, wide, wide)
        self.columns = nn.ModuleList(
            weight_norm(nn.Conv1d(a, b, 5, padding=2 * 2**i, dilation=2**i))
            for i, (a, b) in enumerate(itertools.pairwise(sizes))
        )
        self.columns.append(weight_norm(nn.Conv1d(wide, 1, 3, padding=1)))

    def forward(self, x: Tensor) -> list[Verdict]:
        rows = torch.linspace(-1, 1, x.shape[2], device=x.device, dtype=x.dtype)
        height = rows[None, None, :, None].expand(len(x), 1, -1, x.shape[3])
        seen = torch.cat([x, height], dim=1)
        return [
            _run(self.patches, seen),
            _run(self.coarse_patches, F.avg_pool2d(seen, 2)),
            _run(self.columns, x[:, 0]),
        ]


def _patch_layers(width: int) -> nn.ModuleList:
    layers = [
        nn.Conv2d(2, width, 3, padding=1),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
        nn.Conv2d(4 * width, 4 * width, 3, padding=1),
        nn.Conv2d(4 * width, 1, 3, padding=1),
    ]
    return nn.ModuleList(weight_norm(layer) for layer in layers)


def _run(layers: nn.ModuleList, x: Tensor) -> Verdict:
    features = []
    for layer in layers[:-1]:
        x = F.leaky_relu(layer(x), 0.2)
        features.append(x)
    return layers[-1](x), features
