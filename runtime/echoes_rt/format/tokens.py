"""How the codes of both media lie in one token sequence."""

from dataclasses import dataclass
from functools import cache

MEDIA = ("image", "audio")

OTHER = {"image": "audio", "audio": "image"}
"""The medium that may be the context of another."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The codes of one medium: rows x columns, row-major, each in [0, codebook_size).

    Attributes:
        order: in which decoding fills the positions in; by default ``halton_order``.
    """

    height: int
    width: int
    codebook_size: int
    order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.codebook_size) < 1:
            raise ValueError(
                "grid height, width and codebook_size must be positive, got "
                f"{self.height}, {self.width}, {self.codebook_size}"
            )
        if not self.order:
            object.__setattr__(self, "order", halton_order(self.height, self.width))
        if sorted(self.order) != list(range(self.n_tokens)):
            raise ValueError(
                f"order must hold each of the {self.n_tokens} positions of a grid of "
                f"{self.height} x {self.width} once, got {len(self.order)}: {self.order[:8]}..."
            )

    @property
    def n_tokens(self) -> int:
        return self.height * self.width

    @property
    def mask_token(self) -> int:
        """What stands for an unknown code."""
        return self.codebook_size


@cache
def halton_order(height: int, width: int) -> tuple[int, ...]:
    """Every position of a grid once, so that the first ones of any number lie far apart.

    The Halton points of base 3 down and base 2 along (arXiv 2503.17076), without those that fall
    where one before them fell.
    """
    order: dict[int, None] = {}
    point = 0
    while len(order) < height * width:
        row, column = _radical_inverse(point, 3) * height, _radical_inverse(point, 2) * width
        order.setdefault(int(row) * width + int(column))
        point += 1
    return tuple(order)


def _radical_inverse(number: int, base: int) -> float:
    """The digits of ``number``, mirrored at the point: 6 is 110 in base 2 and gives 0.011."""
    value, scale = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        scale /= base
        value += digit * scale
    return value


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """One sequence: image tokens first, then audio tokens.

    A token's position says its medium, so ids need no offsets: a token is the code itself, and
    ``mask_token_id`` stands for unknown in either medium.
    """

    image: Grid
    audio: Grid

    @property
    def grids(self) -> dict[str, Grid]:
        """By the name of the medium."""
        return {"image": self.image, "audio": self.audio}

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
