"""An auxiliary classifier that reads quantized latents, so that codes keep what a thing is."""

from torch import Tensor, nn


class CategoryHead(nn.Module):
    """(B, D, h, w) quantized latents -> (B, n_categories) logits; used in training alone."""

    def __init__(self, codebook_dim: int, n_categories: int, width: int = 128) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(codebook_dim, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
        )
        self.classify = nn.Linear(width, n_categories)

    def forward(self, z_q: Tensor) -> Tensor:
        return self.classify(self.features(z_q).mean(dim=(2, 3)))
