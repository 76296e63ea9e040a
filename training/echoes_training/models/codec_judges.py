"""What judges a codec in training, and is no part of it."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from echoes_training.models.conv import GlobalBatchNorm2d


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


class CategoryHead(nn.Module):
    """Names the category twice: from the encoder's features, and from the latents it makes of them.

    The first reading teaches the encoder quickly, the second keeps its knowledge through the
    narrow latents. Used in training alone.
    """

    def __init__(self, feature_width: int, codebook_dim: int, n_categories: int) -> None:
        super().__init__()
        self.from_features = nn.Linear(feature_width, n_categories)
        width = 4 * codebook_dim
        self.context = nn.Sequential(
            nn.Conv2d(codebook_dim, width, 3, padding=1), GlobalBatchNorm2d(width), nn.ReLU()
        )
        self.from_latents = nn.Linear(width, n_categories)

    def forward(self, features: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """(B, feature_width, h, w) and (B, codebook_dim, h, w) to two (B, n_categories) logits."""
        context = self.context(latents)
        return (
            self.from_features(features.mean(dim=(2, 3))),
            self.from_latents(context.mean(dim=(2, 3))),
        )
