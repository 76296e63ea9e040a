"""An auxiliary classifier of the encoder, so that codes keep what a thing is."""

from torch import Tensor, nn

from echoes_training.models.global_batch_norm import GlobalBatchNorm2d


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
