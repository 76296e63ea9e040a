"""The small residual network that both judges are made of."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


class SmallResNet(nn.Module):
    """(B, C, H, W) to (B, n_labels) logits, any H and W; each stage but the first halves them."""

    def __init__(
        self,
        *,
        channels: int,
        stem: tuple[int, int],
        widths: Sequence[int],
        embedding_dim: int,
        dropout: float,
        n_labels: int,
    ) -> None:
        super().__init__()
        kernel, stride = stem
        stages = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.body = nn.Sequential(
            nn.Conv2d(channels, widths[0], kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *(_Residual(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(stages)),
        )
        self.project = nn.Linear(2 * widths[-1], embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_dim, n_labels)

    def embed(self, inputs: Tensor) -> Tensor:
        """(B, embedding_dim), what the last layer reads."""
        features = self.body(inputs)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return F.relu(self.project(pooled))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(inputs)))
