"""Which codes the transformer sees at which step, and which of them are hidden."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_training.config import TransformerStageConfig
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.masking import Question, draw_alone, draw_question, draw_state

Rows = dict[int, NDArray[np.int64]]

NO_GROUP = -1


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a part of a step learns from.

    Attributes:
        codes: (B, N) int64.
        mask: (B, N), what is hidden.
        asked: (B, N), what counts.
        sees: (B, 2), whether the picture looks at the sound, and the sound at the picture.
        groups: (B,).
        seeds: of what is drawn for each sample later, in the network.
    """

    codes: Tensor
    mask: Tensor
    asked: Tensor
    sees: Tensor
    groups: Tensor
    seeds: list[int]


class Sequences:
    """Draws sequences: pairs of one group, or one medium alone."""

    def __init__(self, cache: TokenCache, config: TransformerStageConfig) -> None:
        layout = config.layout
        widths = (cache.image.codes.shape[1], cache.audio.codes.shape[1])
        if widths != (layout.image.n_tokens, layout.audio.n_tokens):
            raise InputError(
                f"the token cache has {widths[0]} + {widths[1]} codes a pair, the preset needs "
                f"{layout.image.n_tokens} + {layout.audio.n_tokens}; tokenize with its codecs"
            )
        sizes = (len(cache.image_codebook), len(cache.audio_codebook))
        if sizes != (layout.image.codebook_size, layout.audio.codebook_size):
            raise InputError(
                f"the token cache has codes of {sizes[0]} + {sizes[1]} kinds, the preset needs "
                f"{layout.image.codebook_size} + {layout.audio.codebook_size}; tokenize with its "
                "codecs"
            )
        self.cache = cache
        self.config = config
        self.rows = {
            validation: (
                cache.image.rows_by_group(validation=validation),
                cache.audio.rows_by_group(validation=validation),
            )
            for validation in (False, True)
        }
        self.groups = {
            validation: sorted(set(images) & set(sounds))
            for validation, (images, sounds) in self.rows.items()
        }
        for validation, groups in self.groups.items():
            if not groups:
                split = "validation" if validation else "train"
                raise InputError(f"the token cache has no {split} pair; prepare more data")
        self.alone = tuple(np.flatnonzero(~t.validation) for t in (cache.image, cache.audio))

    def pair(self, rng: np.random.Generator, *, validation: bool) -> tuple[NDArray[np.int16], int]:
        """(N,) codes and their group; groups are drawn evenly, whatever their size."""
        groups = self.groups[validation]
        group = groups[int(rng.integers(len(groups)))]
        images, sounds = self.rows[validation]
        codes = (
            self.cache.image.codes[rng.choice(images[group])],
            self.cache.audio.codes[rng.choice(sounds[group])],
        )
        return np.concatenate(codes), group

    def batch(self, step: int, places: range) -> Batch:
        """The samples of a step at these places in the batch of all processes."""
        seed = self.config.loop.seed
        generators = [np.random.default_rng((seed, step, place)) for place in places]
        drawn = [self._draw(rng) for rng in generators]
        codes, questions, groups = zip(*drawn, strict=True)
        return Batch(
            codes=torch.from_numpy(np.stack(codes)).long(),
            mask=torch.from_numpy(np.stack([q.mask for q in questions])),
            asked=torch.from_numpy(np.stack([q.asked for q in questions])),
            sees=torch.tensor([q.sees for q in questions]),
            groups=torch.tensor(groups),
            seeds=[int(rng.integers(2**63)) for rng in generators],
        )

    def _draw(self, rng: np.random.Generator) -> tuple[NDArray[np.int16], Question, int]:
        """One row of a batch, and its group."""
        sequence, group = self.pair(rng, validation=False)
        if rng.random() >= self.config.unpaired:
            return sequence, draw_question(self.config, rng), group
        question, media = draw_alone(self.config, rng)
        for medium in media:
            part = (self.config.layout.image_slice, self.config.layout.audio_slice)[medium]
            table: TokenTable = (self.cache.image, self.cache.audio)[medium]
            sequence[part] = table.codes[rng.choice(self.alone[medium])]
        return sequence, question, NO_GROUP


def validation_questions(
    sequences: Sequences, config: TransformerStageConfig
) -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Fixed validation pairs with some or all of the sound hidden, with and without the picture.

    Tokens, codes, asked and sees, as in ``Batch``; ``decoded`` is where decoding draws.
    """
    layout = config.layout
    rng = np.random.default_rng((config.loop.seed, 1))
    codes = np.stack([sequences.pair(rng, validation=True)[0] for _ in range(128)])
    all_codes = torch.from_numpy(codes).long()
    half = rng.random((len(codes), layout.audio.n_tokens)) < 0.5
    everything = np.ones_like(half)
    decoded = np.stack([draw_state(layout.audio, 0.0, 0.0, rng) for _ in codes], axis=1)
    questions = {}
    for name, without_picture, (hidden, drawn) in (
        ("half_audio_given_image", False, (half, half)),
        ("decoded_audio_given_image", False, decoded),
        ("all_audio_given_image", False, (everything, everything)),
        ("all_audio_alone", True, (everything, everything)),
    ):
        mask, asked = torch.zeros(2, *all_codes.shape, dtype=torch.bool)
        mask[:, layout.audio_slice] = torch.from_numpy(hidden)
        asked[:, layout.audio_slice] = torch.from_numpy(drawn)
        if without_picture:
            mask[:, layout.image_slice] = True
        tokens = all_codes.masked_fill(mask, layout.mask_token_id)
        sees = torch.tensor([[False, not without_picture]]).expand(len(codes), 2)
        questions[name] = (tokens, all_codes, asked, sees)
    return questions
