"""The pre-norm transformer block."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_training.models.dropout import Dropout

KeysValues = tuple[Tensor, Tensor]
"""Each (B, heads, N, D / heads)."""


class SelfAttention(nn.Module):
    """Full (bidirectional) multi-head self-attention: (B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def project(self, x: Tensor) -> tuple[Tensor, KeysValues]:
        """Queries, and keys with values, of each position."""
        B, N, D = x.shape
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        return q, (k, v)

    def mix(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """All but the output projection, which no longer looks at other positions.

        ``visible`` (B, 1, N, N) is true where a position (row) may look at another one (column).
        """
        q, (k, v) = self.project(x)
        return attend(q, k, v, visible)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        return self.out(self.mix(x, visible))


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None = None) -> Tensor:
    """(B, N, D) of queries (B, heads, N, D / heads)."""
    h = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
    return h.transpose(1, 2).flatten(2)


class Block(nn.Module):
    """Attention, then a feed-forward layer of four times the width, each behind a LayerNorm."""

    DROPOUTS = 2

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = Dropout(dropout)

    def mix(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        return self.attention.mix(self.attention_norm(x), visible)

    def context(self, x: Tensor) -> tuple[Tensor, KeysValues]:
        """What ``forward`` gives, and the keys and values that ``with_context`` takes."""
        q, (k, v) = self.attention.project(self.attention_norm(x))
        return self.finish(x, attend(q, k, v)), (k, v)

    def with_context(self, x: Tensor, context: KeysValues) -> Tensor:
        """``forward`` for positions that look at one another and at a context."""
        q, own = self.attention.project(self.attention_norm(x))
        k, v = (torch.cat(parts, dim=2) for parts in zip(context, own, strict=True))
        return self.finish(x, attend(q, k, v))

    def finish(self, x: Tensor, mixed: Tensor, kept: Tensor | None = None) -> Tensor:
        """The rest of the block, position by position: (..., D) and what ``mix`` gave of it.

        ``kept`` (B, DROPOUTS, N, D) is true where dropout leaves a value as it is.
        """
        first, second = (None, None) if kept is None else kept.unbind(dim=1)
        x = x + self.dropout(self.attention.out(mixed), first)
        return x + self.dropout(self.mlp(self.mlp_norm(x)), second)

    def forward(
        self, x: Tensor, visible: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        return self.finish(x, self.mix(x, visible), kept)
