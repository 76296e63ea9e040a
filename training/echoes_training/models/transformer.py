"""The bidirectional transformer over the tokens of both media."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.spec.tokens import Grid, TokenLayout
from echoes_training.models.attention import Block
from echoes_training.models.dropout import Dropout, draw_kept


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes, and what a medium is to the other one while none of its tokens is known.

    Attributes:
        unknown_medium: ``masked``: its mask tokens are looked at like any others. ``absent``: they
            are not, as if the sequence held the other medium alone.
    """

    width: int
    layers: int
    heads: int
    dropout: float = 0.0
    unknown_medium: str = "masked"

    def __post_init__(self) -> None:
        if self.unknown_medium not in ("masked", "absent"):
            raise ValueError(
                f"unknown_medium must be masked or absent, got {self.unknown_medium!r}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads, got {self.width} and {self.heads}"
            )


class MediumEmbedding(nn.Module):
    """Tokens of one medium to vectors, and vectors back to scores of its codes.

    The position is the sum of a row and a column vector, so that a grid of any size has few
    parameters. Input and output tables are apart: codes come in as what they look like (their
    codebook vectors), and go out by how they continue.
    """

    def __init__(self, grid: Grid, width: int, vocab_size: int) -> None:
        super().__init__()
        self.grid = grid
        self.vocab_size = vocab_size
        self.token = nn.Embedding(grid.codebook_size + 1, width)  # the last row is the mask
        self.row = nn.Parameter(torch.randn(grid.height, 1, width) * 0.02)
        self.column = nn.Parameter(torch.randn(1, grid.width, width) * 0.02)
        self.head = nn.Linear(width, grid.codebook_size)
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def start_from_codebook(self, codebook: Tensor, generator: torch.Generator) -> None:
        """Sets the code rows to a random projection of ``codebook`` (codebook_size, dim).

        A projection by Gaussian noise keeps distances (Johnson and Lindenstrauss, 1984): codes that
        look alike start alike.
        """
        width = self.token.embedding_dim
        projection = torch.randn(codebook.shape[1], width, generator=generator)
        rows = F.normalize(codebook.cpu().float(), dim=-1) @ projection
        self.token.weight[:-1] = rows * 0.1

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, n) tokens, ``vocab_size`` where masked, to (B, n, D)."""
        position = (self.row + self.column).flatten(0, 1)
        return self.token(tokens.clamp(max=self.grid.codebook_size)) + position

    def logits(self, h: Tensor) -> Tensor:
        """(B, n, D) to (B, n, vocab_size), -inf where this medium has no such code."""
        scores = self.head(h)
        return F.pad(scores, (0, self.vocab_size - self.grid.codebook_size), value=-torch.inf)


class MaskedTransformer(nn.Module):
    """Scores every position's codes from the tokens that are known (arXiv 2405.14598)."""

    def __init__(self, config: TransformerConfig, layout: TokenLayout) -> None:
        super().__init__()
        self.layout = layout
        self.unknown_medium = config.unknown_medium
        self.image = MediumEmbedding(layout.image, config.width, layout.vocab_size)
        self.audio = MediumEmbedding(layout.audio, config.width, layout.vocab_size)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def draw_kept(self, seeds: Sequence[int]) -> Tensor | None:
        """(B, n, N, D): what dropout keeps in its n places, one sample a seed; or no dropout."""
        if self.dropout.rate == 0:
            return None
        n_places = 1 + Block.DROPOUTS * len(self.blocks)
        shape = (n_places, self.layout.n_tokens, self.norm.normalized_shape[0])
        return draw_kept(seeds, shape, self.dropout.rate, self.norm.weight.device)

    def embed(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        n_image = self.layout.image.n_tokens
        h = torch.cat(
            [self.image.embed(tokens[:, :n_image]), self.audio.embed(tokens[:, n_image:])], dim=1
        )
        return self.dropout(h, kept)

    def visible(self, tokens: Tensor) -> Tensor | None:
        """(B, 1, N, N) for attention, if not every position may look at every other one."""
        if self.unknown_medium == "masked":
            return None
        n_image, n_audio = self.layout.image.n_tokens, self.layout.audio.n_tokens
        is_known = tokens != self.layout.mask_token_id
        image, audio = is_known[:, :n_image].any(dim=1), is_known[:, n_image:].any(dim=1)
        is_image = torch.arange(n_image + n_audio, device=tokens.device) < n_image
        is_known_medium = (is_image & image[:, None]) | (~is_image & audio[:, None])
        is_same_medium = ~(is_image[:, None] ^ is_image)
        return (is_same_medium | is_known_medium[:, None])[:, None]

    def hidden(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        """(B, N) tokens with ``layout.mask_token_id`` where unknown, to (B, N, D).

        ``kept`` is from ``draw_kept``; without it there is no dropout.
        """
        sizes = (1, *(Block.DROPOUTS for _ in self.blocks))
        first, *others = [None] * len(sizes) if kept is None else kept.split(sizes, dim=1)
        h = self.embed(tokens, None if first is None else first.squeeze(1))
        visible = self.visible(tokens)
        for block, places in zip(self.blocks, others, strict=True):
            h = block(h, visible, places)
        return self.norm(h)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N) tokens, as in ``hidden``, to logits (B, N, vocab_size)."""
        n_image = self.layout.image.n_tokens
        h = self.hidden(tokens)
        return torch.cat([self.image.logits(h[:, :n_image]), self.audio.logits(h[:, n_image:])], 1)

    def logits_at(
        self, tokens: Tensor, image_rows: Tensor, audio_rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The rows of ``forward`` that are asked for, without computing the others' end.

        After the last attention no position looks at another, so what nobody reads is left out.

        Args:
            tokens: (B, N), as in ``hidden``.
            image_rows: (M_i,) places in the flattened (B * N), all in the image.
            audio_rows: (M_a,), all in the sound.

        Returns:
            (M_i, vocab_size) and (M_a, vocab_size).
        """
        h, visible = self.embed(tokens), self.visible(tokens)
        *blocks, last = self.blocks
        for block in blocks:
            h = block(h, visible)
        assert isinstance(last, Block)
        rows = torch.cat([image_rows, audio_rows])
        h = last.finish(*(x.flatten(0, 1).index_select(0, rows) for x in (h, last.mix(h, visible))))
        h = self.norm(h)
        n_image = image_rows.shape[0]
        return self.image.logits(h[:n_image]), self.audio.logits(h[n_image:])
