"""Trains the masked transformer on cached codes."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from echoes_rt.errors import InputError
from echoes_training.checkpoint import TrainState
from echoes_training.config import TransformerStageConfig
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.device import autocast, step_generator
from echoes_training.masking import draw_mask, draw_single_mask
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.optim import learning_rate, make_optimizer, update
from echoes_training.stages.loop import Scalars, train

Rows = dict[int, NDArray[np.int64]]


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
        self.cache = cache
        self.config = config
        self.rows = {
            heldout: (
                cache.image.rows_by_group(heldout=heldout),
                cache.audio.rows_by_group(heldout=heldout),
            )
            for heldout in (False, True)
        }
        self.groups = {
            heldout: sorted(set(images) & set(sounds))
            for heldout, (images, sounds) in self.rows.items()
        }
        for heldout, groups in self.groups.items():
            if not groups:
                split = "heldout" if heldout else "train"
                raise InputError(f"the token cache has no {split} pair; prepare more data")
        self.alone = tuple(np.flatnonzero(~t.heldout) for t in (cache.image, cache.audio))

    def pair(self, rng: np.random.Generator, *, heldout: bool) -> NDArray[np.int16]:
        """(N,) codes; groups are drawn evenly, whatever their size."""
        groups = self.groups[heldout]
        group = groups[int(rng.integers(len(groups)))]
        images, sounds = self.rows[heldout]
        return np.concatenate(
            [
                self.cache.image.codes[rng.choice(images[group])],
                self.cache.audio.codes[rng.choice(sounds[group])],
            ]
        )

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (B, N) int64, mask (B, N) of what is hidden, and (B, N) of what is asked for."""
        layout = self.config.layout
        codes, masks, asked = [], [], []
        for _ in range(self.config.loop.batch_size):
            sequence = self.pair(rng, heldout=False)
            if rng.random() < self.config.unpaired:
                which = int(rng.integers(2))
                medium = (layout.image_slice, layout.audio_slice)[which]
                table: TokenTable = (self.cache.image, self.cache.audio)[which]
                sequence[medium] = table.codes[rng.choice(self.alone[which])]
                mask = draw_single_mask(layout, medium, rng)
                wanted = np.zeros_like(mask)
                wanted[medium] = mask[medium]
            else:
                mask = wanted = draw_mask(self.config, rng)
            codes.append(sequence)
            masks.append(mask)
            asked.append(wanted)
        return (
            torch.from_numpy(np.stack(codes)).long(),
            torch.from_numpy(np.stack(masks)),
            torch.from_numpy(np.stack(asked)),
        )


def train_transformer(run: Path, cache: TokenCache, config: TransformerStageConfig) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``."""
    loop, layout = config.loop, config.layout
    device = torch.device(loop.device)
    torch.manual_seed(loop.seed)
    sequences = Sequences(cache, config)
    model = MaskedTransformer(config.model, layout)
    for medium, codebook in (
        (model.image, cache.image_codebook),
        (model.audio, cache.audio_codebook),
    ):
        medium.start_from_codebook(torch.from_numpy(codebook), step_generator(loop.seed, -1))
    model = model.to(device)
    optimizer = make_optimizer(model, loop)
    state = TrainState(modules={"transformer": model}, optimizers={"transformer": optimizer})
    checks = _heldout_questions(sequences, config)

    def step_once(step: int) -> Scalars:
        codes, mask, asked = sequences.batch(np.random.default_rng((loop.seed, step)))
        # Dropout is the only draw that torch makes itself.
        torch.manual_seed(loop.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(loop, step)
        tokens = codes.masked_fill(mask, layout.mask_token_id).to(device)
        model.train()
        with autocast(loop.precision, device):
            loss = masked_loss(
                model, tokens, codes.to(device), asked.to(device), config.label_smoothing
            )
        norm = update(optimizer, model, loss, loop)
        return {"train/loss": loss.item(), "train/grad_norm": norm}

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        """Cross-entropy of held-out sounds given the picture, and given nothing but themselves."""
        model.eval()
        scalars = {}
        for name, (tokens, codes, asked) in checks.items():
            parts = zip(tokens.split(32), codes.split(32), asked.split(32), strict=True)
            values = [
                masked_loss(model, t.to(device), c.to(device), a.to(device), 0.0)
                for t, c, a in parts
            ]
            scalars[f"heldout/{name}"] = torch.stack(values).mean().item()
        return scalars

    train(run, loop, state, step_once, evaluate)


def masked_loss(
    model: MaskedTransformer, tokens: Tensor, codes: Tensor, asked: Tensor, smoothing: float
) -> Tensor:
    """Mean cross-entropy of ``codes`` where ``asked``, both media weighed by their tokens.

    Only the asked positions go through the output tables: the others' logits are never read.
    """
    n_image = model.layout.image.n_tokens
    hidden = model.hidden(tokens)
    sums = []
    for medium, part in ((model.image, slice(0, n_image)), (model.audio, slice(n_image, None))):
        where = asked[:, part]
        scores = medium.head(hidden[:, part][where])
        sums.append(
            F.cross_entropy(
                scores.float(), codes[:, part][where], label_smoothing=smoothing, reduction="sum"
            )
        )
    return torch.stack(sums).sum() / asked.sum()


def _heldout_questions(
    sequences: Sequences, config: TransformerStageConfig
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Fixed held-out pairs with half of the sound hidden, with and without the picture."""
    layout = config.layout
    rng = np.random.default_rng((config.loop.seed, 1))
    codes = np.stack([sequences.pair(rng, heldout=True) for _ in range(128)])
    all_codes = torch.from_numpy(codes).long()
    hidden = torch.zeros_like(all_codes, dtype=torch.bool)
    hidden[:, layout.audio_slice] = torch.from_numpy(
        rng.random((len(codes), layout.audio.n_tokens)) < 0.5
    )
    questions = {}
    for name, without_picture, all_sound in (
        ("audio_given_image", False, False),
        ("audio_alone", True, False),
        ("all_audio_given_image", False, True),
    ):
        mask, asked = hidden.clone(), hidden.clone()
        if all_sound:
            mask[:, layout.audio_slice] = asked[:, layout.audio_slice] = True
        if without_picture:
            mask[:, layout.image_slice] = True
        tokens = all_codes.masked_fill(mask, layout.mask_token_id)
        questions[name] = (tokens, all_codes, asked)
    return questions
