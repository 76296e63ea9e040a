"""PatchGAN discriminator for pictures and log-mels (arXiv 1611.07004)."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """(B, C, H, W) -> (B, 1, h, w) scores, one per patch; spectral norm keeps it calm."""

    def __init__(self, in_channels: int, width: int, levels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for level in range(levels):
            next_channels = width * 2**level
            conv = nn.Conv2d(channels, next_channels, 4, stride=2, padding=1)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)]
            channels = next_channels
        layers.append(spectral_norm(nn.Conv2d(channels, 1, 3, padding=1)))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
