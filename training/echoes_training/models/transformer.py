"""The bidirectional transformer over the tokens of both media."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.format.tokens import Grid, TokenLayout
from echoes_training.models.attention import Block
from echoes_training.models.dropout import Dropout, draw_kept

FORMS = ("context", "joint")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes, and which positions look at which.

    Attributes:
        form: ``context``: a medium is the target, which looks at itself and at the other medium,
            its context; the context looks at itself alone, so that its keys and values are
            computed once. ``joint``: every position looks at every other one (arXiv 2405.14598).
        image_group: how many codes of a picture, one below the other, share one position.
        audio_group: likewise of a sound.
    """

    width: int
    layers: int
    heads: int
    dropout: float = 0.0
    form: str = "context"
    image_group: int = 1
    audio_group: int = 1

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form must be context or joint, got {self.form!r}")
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
    codebook vectors), and go out by how they continue. Codes that share a position (``group``)
    have tables of their own, whose vectors are summed.
    """

    def __init__(self, grid: Grid, width: int, group: int = 1) -> None:
        super().__init__()
        if group < 1 or grid.height % group:
            raise ValueError(
                f"a group must divide the {grid.height} rows of codes of its medium, got {group}"
            )
        self.grid = grid
        self.group = group
        self.rows = grid.height // group
        self.n_positions = self.rows * grid.width
        # The last row of each table is the mask.
        self.token = nn.Embedding(group * (grid.codebook_size + 1), width)
        self.row = nn.Parameter(torch.randn(self.rows, 1, width) * 0.02)
        self.column = nn.Parameter(torch.randn(1, grid.width, width) * 0.02)
        self.head = nn.Linear(width, group * grid.codebook_size)
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
        vectors = F.normalize(codebook.cpu().float(), dim=-1)
        for table in self.token.weight.unflatten(0, (self.group, -1)):
            projection = torch.randn(codebook.shape[1], width, generator=generator)
            table[:-1] = vectors @ projection * 0.1

    def by_position(self, codes: Tensor) -> Tensor:
        """(B, n) of row-major codes to (B, P, group)."""
        rows = codes.unflatten(1, (self.rows, self.group, self.grid.width))
        return rows.transpose(2, 3).flatten(1, 2)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, n) tokens, ``codebook_size`` or more where masked, to (B, P, D)."""
        position = (self.row + self.column).flatten(0, 1)
        tokens = tokens.clamp(max=self.grid.codebook_size)
        if self.group == 1:
            return self.token(tokens) + position
        tables = torch.arange(self.group, device=tokens.device) * (self.grid.codebook_size + 1)
        return self.token(self.by_position(tokens) + tables).sum(dim=2) + position

    def logits(self, h: Tensor) -> Tensor:
        """(B, P, D) to (B, n, codebook_size)."""
        if self.group == 1:
            return self.head(h)
        shape = (self.rows, self.grid.width, self.group, self.grid.codebook_size)
        return (
            self.head(h)
            .unflatten(2, shape[2:])
            .unflatten(1, shape[:2])
            .transpose(2, 3)
            .flatten(1, 3)
        )

    def where(self, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Where ``asked`` (B, n), for ``logits_at``; on the CPU, as to count is to wait for a GPU.

        Returns:
            Which of all B x P positions have a token that is asked for, and which of the ``group``
            tokens of each of these are, numbered one after the other.
        """
        asked = self.by_position(asked)
        positions = asked.any(dim=2)
        return positions.flatten().nonzero()[:, 0], asked[positions].flatten().nonzero()[:, 0]

    def logits_at(self, h: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
        """(M, codebook_size) of the M tokens that ``where`` found, position by position."""
        scores: Tensor = self.head(h.flatten(0, 1)[positions])
        return scores.unflatten(1, (self.group, -1)).flatten(0, 1)[tokens]


class MaskedTransformer(nn.Module):
    """Scores every position's codes from the tokens that are known (arXiv 2405.14598)."""

    def __init__(self, config: TransformerConfig, layout: TokenLayout) -> None:
        super().__init__()
        self.layout = layout
        self.form = config.form
        self.image = MediumEmbedding(layout.image, config.width, config.image_group)
        self.audio = MediumEmbedding(layout.audio, config.width, config.audio_group)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def medium(self, name: str) -> MediumEmbedding:
        """One of ``MEDIA``."""
        return {"image": self.image, "audio": self.audio}[name]

    def context(self, codes: Tensor, medium: str) -> Tensor:
        """What ``logits`` needs of a medium that is wholly known; in context form.

        Args:
            codes: (B, n) of the context.
            medium: what they are of.

        Returns:
            (B, layers, 2, heads, P, D / heads), the keys and values of every layer.
        """
        h = self.medium(medium).embed(codes)
        layers = []
        for block in self.blocks:
            assert isinstance(block, Block)
            h, keys_values = block.context(h)
            layers.append(torch.stack(keys_values, dim=1))
        return torch.stack(layers, dim=1)

    def logits(self, tokens: Tensor, medium: str, context: Tensor | None = None) -> Tensor:
        """Scores of a target, (B, n, codebook_size); arguments as of ``target_hidden``."""
        return self.medium(medium).logits(self.target_hidden(tokens, medium, context))

    def target_hidden(self, tokens: Tensor, medium: str, context: Tensor | None = None) -> Tensor:
        """What a target is by itself and its context, if it has one; in context form.

        Args:
            tokens: (B, n) of the target, ``codebook_size`` or more where unknown.
            medium: what they are of.
            context: from ``context``, of the other medium.

        Returns:
            (B, P, D).
        """
        h = self.medium(medium).embed(tokens)
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            if context is None:
                h = block(h)
            else:
                k, v = context[:, layer].unbind(dim=1)
                h = block.with_context(h, (k, v))
        return self.norm(h)

    def draw_kept(self, seeds: Sequence[int]) -> Tensor | None:
        """(B, n, P, D): what dropout keeps in its n places, one sample a seed; or no dropout."""
        if self.dropout.rate == 0:
            return None
        n_places = 1 + Block.DROPOUTS * len(self.blocks)
        n_positions = self.image.n_positions + self.audio.n_positions
        shape = (n_places, n_positions, self.norm.normalized_shape[0])
        return draw_kept(seeds, shape, self.dropout.rate, self.norm.weight.device)

    def embed(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        n_image = self.layout.image.n_tokens
        h = torch.cat(
            [self.image.embed(tokens[:, :n_image]), self.audio.embed(tokens[:, n_image:])], dim=1
        )
        return self.dropout(h, kept)

    def split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The picture's and the sound's positions of (B, P, D)."""
        n = self.image.n_positions
        return h[:, :n], h[:, n:]

    def visible(self, sees: Tensor | None) -> Tensor | None:
        """(B, 1, P, P) for attention, if not every position may look at every other one.

        ``sees`` is as in ``hidden``.
        """
        if sees is None:
            return None
        n_positions = self.image.n_positions + self.audio.n_positions
        is_audio = torch.arange(n_positions, device=sees.device) >= self.image.n_positions
        medium = is_audio.long()
        is_same_medium = medium[:, None] == medium
        return (is_same_medium | sees[:, medium, None])[:, None]

    def hidden(
        self, tokens: Tensor, kept: Tensor | None = None, sees: Tensor | None = None
    ) -> Tensor:
        """Both media in one sequence; with ``sees``, targets with their contexts, for training.

        Args:
            tokens: (B, N), ``layout.mask_token_id`` where unknown.
            kept: from ``draw_kept``; without it there is no dropout.
            sees: (B, 2) bool, whether the picture looks at the sound, and the sound at the
                picture; None is the joint form.

        Returns:
            (B, P, D).
        """
        sizes = (1, *(Block.DROPOUTS for _ in self.blocks))
        first, *others = [None] * len(sizes) if kept is None else kept.split(sizes, dim=1)
        h = self.embed(tokens, None if first is None else first.squeeze(1))
        visible = self.visible(sees)
        for block, places in zip(self.blocks, others, strict=True):
            h = block(h, visible, places)
        return self.norm(h)

    def forward(self, tokens: Tensor, sees: Tensor | None = None) -> Tensor:
        """(B, N) tokens, as in ``hidden``, to logits (B, N, vocab_size).

        They are -inf where a medium has no such code.
        """
        image, audio = self.split(self.hidden(tokens, sees=sees))
        return torch.cat([self._padded(self.image, image), self._padded(self.audio, audio)], 1)

    def _padded(self, medium: MediumEmbedding, h: Tensor) -> Tensor:
        n_missing = self.layout.vocab_size - medium.grid.codebook_size
        return F.pad(medium.logits(h), (0, n_missing), value=-torch.inf)
