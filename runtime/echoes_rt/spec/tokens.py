"""How the codes of both media lie in one token sequence."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The codes of one medium: rows x columns, row-major, each in [0, codebook_size)."""

    height: int
    width: int
    codebook_size: int

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.codebook_size) < 1:
            raise ValueError(
                "grid height, width and codebook_size must be positive, got "
                f"{self.height}, {self.width}, {self.codebook_size}"
            )

    @property
    def n_tokens(self) -> int:
        return self.height * self.width


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """One sequence: image tokens first, then audio tokens.

    A token's position says its medium, so ids need no offsets: a token is the code itself, and
    ``mask_token_id`` stands for unknown in either medium.
    """

    image: Grid
    audio: Grid

    @property
    def n_tokens(self) -> int:
        return self.image.n_tokens + self.audio.n_tokens

    @property
    def vocab_size(self) -> int:
        """Number of codes that any position may hold, the last dimension of the logits."""
        return max(self.image.codebook_size, self.audio.codebook_size)

    @property
    def mask_token_id(self) -> int:
        return self.vocab_size

    @property
    def image_slice(self) -> slice:
        return slice(0, self.image.n_tokens)

    @property
    def audio_slice(self) -> slice:
        return slice(self.image.n_tokens, self.n_tokens)
