"""Trains the masked transformer on cached codes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.errors import InputError
from echoes_rt.spec.tokens import TokenLayout
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import TransformerStageConfig
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.device import autocast, step_generator
from echoes_training.masking import draw_mask, draw_single_mask
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.optim import learning_rate, make_optimizer, update
from echoes_training.stages.loop import Scalars, train

Rows = dict[int, NDArray[np.int64]]

NO_GROUP = -1
MOST_GROUPS = 1000
"""With more groups than this (a user's own pairs) there is no name to learn."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """codes (B, N) int64; mask (B, N), what is hidden; asked (B, N), what counts; groups (B,)."""

    codes: Tensor
    mask: Tensor
    asked: Tensor
    groups: Tensor


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

    def pair(self, rng: np.random.Generator, *, heldout: bool) -> tuple[NDArray[np.int16], int]:
        """(N,) codes and their group; groups are drawn evenly, whatever their size."""
        groups = self.groups[heldout]
        group = groups[int(rng.integers(len(groups)))]
        images, sounds = self.rows[heldout]
        codes = (
            self.cache.image.codes[rng.choice(images[group])],
            self.cache.audio.codes[rng.choice(sounds[group])],
        )
        return np.concatenate(codes), group

    def batch(self, rng: np.random.Generator) -> "Batch":
        layout = self.config.layout
        codes, masks, asked, groups = [], [], [], []
        for _ in range(self.config.loop.batch_size):
            sequence, group = self.pair(rng, heldout=False)
            if rng.random() < self.config.unpaired:
                which = int(rng.integers(2))
                medium = (layout.image_slice, layout.audio_slice)[which]
                table: TokenTable = (self.cache.image, self.cache.audio)[which]
                sequence[medium] = table.codes[rng.choice(self.alone[which])]
                mask = draw_single_mask(layout, medium, rng)
                wanted = np.zeros_like(mask)
                wanted[medium] = mask[medium]
                group = NO_GROUP
            else:
                mask = wanted = draw_mask(self.config, rng)
            codes.append(sequence)
            masks.append(mask)
            asked.append(wanted)
            groups.append(group)
        return Batch(
            codes=torch.from_numpy(np.stack(codes)).long(),
            mask=torch.from_numpy(np.stack(masks)),
            asked=torch.from_numpy(np.stack(asked)),
            groups=torch.tensor(groups),
        )


def train_transformer(
    run: Path,
    cache: TokenCache,
    config: TransformerStageConfig,
    start_from: Path | None = None,
) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``.

    A new run begins with the weights of ``start_from``, a training run or a bundle, if given; its
    codes must be of the same codecs.
    """
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
    if start_from is not None:
        checkpoint.load_start(start_from, "transformer", model)
    model = model.to(device)
    group_steps = config.group_steps if len(cache.groups) <= MOST_GROUPS else 0
    group_head = nn.Linear(config.model.width, len(cache.groups)).to(device)
    trained = nn.ModuleList([model, group_head])
    optimizer = make_optimizer(trained, loop)
    state = TrainState(
        modules={"transformer": model, "group_head": group_head},
        optimizers={"transformer": optimizer},
    )
    checks = _heldout_questions(sequences, config)

    def step_once(step: int) -> Scalars:
        batch = sequences.batch(np.random.default_rng((loop.seed, step)))
        # Dropout is the only draw that torch makes itself.
        torch.manual_seed(loop.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(loop, step)
        tokens = batch.codes.masked_fill(batch.mask, layout.mask_token_id).to(device)
        codes, asked = batch.codes.to(device), batch.asked.to(device)
        model.train()
        with autocast(loop.precision, device):
            hidden = model.hidden(tokens)
            loss = masked_loss(model, hidden, codes, asked, config.label_smoothing)
            scalars = {"train/loss": loss.item()}
            if step < group_steps and (batch.groups != NO_GROUP).any():
                naming = group_loss(group_head, hidden, batch.groups.to(device), layout)
                scalars["train/group"] = naming.item()
                loss = loss + config.group_weight * naming
        scalars["train/grad_norm"] = update(optimizer, trained, loss, loop)
        return scalars

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        """Cross-entropy of held-out sounds given the picture, and given nothing but themselves."""
        model.eval()
        scalars = {}
        for name, (tokens, codes, asked) in checks.items():
            parts = zip(tokens.split(32), codes.split(32), asked.split(32), strict=True)
            values = []
            for part in parts:
                t, c, a = (x.to(device) for x in part)
                values.append(masked_loss(model, model.hidden(t), c, a, 0.0))
            scalars[f"heldout/{name}"] = torch.stack(values).mean().item()
        return scalars

    train(run, loop, state, step_once, evaluate)


def group_loss(head: nn.Linear, hidden: Tensor, groups: Tensor, layout: TokenLayout) -> Tensor:
    """Cross-entropy of the group, read once from each medium's positions (B, N, D)."""
    pooled = [hidden[:, part].mean(dim=1) for part in (layout.image_slice, layout.audio_slice)]
    losses = [F.cross_entropy(head(p).float(), groups, ignore_index=NO_GROUP) for p in pooled]
    return torch.stack(losses).mean()


def masked_loss(
    model: MaskedTransformer, hidden: Tensor, codes: Tensor, asked: Tensor, smoothing: float
) -> Tensor:
    """Mean cross-entropy of ``codes`` where ``asked``, both media weighed by their tokens.

    Only the asked positions go through the output tables: the others' logits are never read.
    """
    n_image = model.layout.image.n_tokens
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
    """Fixed held-out pairs with half or all of the sound hidden, with and without the picture."""
    layout = config.layout
    rng = np.random.default_rng((config.loop.seed, 1))
    codes = np.stack([sequences.pair(rng, heldout=True)[0] for _ in range(128)])
    all_codes = torch.from_numpy(codes).long()
    hidden = torch.zeros_like(all_codes, dtype=torch.bool)
    hidden[:, layout.audio_slice] = torch.from_numpy(
        rng.random((len(codes), layout.audio.n_tokens)) < 0.5
    )
    questions = {}
    for name, without_picture, all_sound in (
        ("half_audio_given_image", False, False),
        ("all_audio_given_image", False, True),
        ("all_audio_alone", True, True),
    ):
        mask, asked = hidden.clone(), hidden.clone()
        if all_sound:
            mask[:, layout.audio_slice] = asked[:, layout.audio_slice] = True
        if without_picture:
            mask[:, layout.image_slice] = True
        tokens = all_codes.masked_fill(mask, layout.mask_token_id)
        questions[name] = (tokens, all_codes, asked)
    return questions
