"""Trains the masked transformer on cached codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.format.tokens import MEDIA
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import TransformerStageConfig
from echoes_training.data.tokens import TokenCache
from echoes_training.device import autocast, step_generator, to_device
from echoes_training.ema import averages
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages import codebooks
from echoes_training.stages.loop import Measures, Prefetch, Scalars, mean, measured, train
from echoes_training.stages.sequences import NO_GROUP, Batch, Sequences, validation_questions

Asked = tuple[Tensor, Tensor, Tensor]
"""Of one medium what ``MediumEmbedding.where`` finds, and the (M,) codes that are wanted there."""

MOST_GROUPS = 1000
"""With more groups than this (a user's own pairs) there is no name to learn."""


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
    loop = config.loop
    processes = Processes(loop.device)
    torch.manual_seed(loop.seed)
    sequences = Sequences(cache, config)
    if processes.is_main:
        codebooks.keep(run, codebooks.of_cache(cache))
    objective = new_objective(cache, config, start_from).to(processes.device)
    if config.sharded:
        processes.shard(objective, objective.model.blocks)
    step_once = TransformerStep(config, sequences, processes, objective)
    model = objective.model
    state = TrainState(
        modules={"transformer": model, "group_head": objective.group_head},
        optimizers={"transformer": step_once.learner.optimizer},
        averages=averages({"transformer": model}, loop.ema_decay),
    )
    checks = validation_questions(sequences, config)

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        """Cross-entropy of validation sounds given the picture, and given themselves alone."""
        scalars = {}
        for name, question in checks.items():
            values = []
            for part in zip(*(x.split(32) for x in question), strict=True):
                tokens, codes, asked, sees = part
                wanted = asked_of(model, codes, asked, processes.device)
                tokens, sees = (x.to(processes.device) for x in (tokens, sees))
                loss, _ = objective(tokens, wanted, sees, None, 0.0, None)
                values.append(loss / int(asked.sum()))
            scalars[f"validation/{name}"] = torch.stack(values).mean().item()
        return scalars

    train(run, loop, state, processes, step_once, evaluate)


def new_objective(
    cache: TokenCache, config: TransformerStageConfig, start_from: Path | None
) -> "Objective":
    model = MaskedTransformer(config.model, config.layout)
    for medium, codebook in (
        (model.image, cache.image_codebook),
        (model.audio, cache.audio_codebook),
    ):
        medium.start_from_codebook(torch.from_numpy(codebook), step_generator(config.loop.seed, -1))
    if start_from is not None:
        checkpoint.load_start(start_from, "transformer", model)
    if config.compiled:
        for block in model.blocks:
            block.compile()
    # With one group there is nothing to tell apart: the head stays as it is, and small.
    n_groups = len(cache.groups) if len(cache.groups) <= MOST_GROUPS else 1
    return Objective(model, nn.Linear(config.model.width, n_groups))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A ``Batch`` on the device, with its numbers of codes asked for and of known groups."""

    tokens: Tensor
    asked: list[Asked]
    sees: Tensor
    groups: Tensor
    seeds: list[int]
    n_asked: int
    n_named: int


class Objective(nn.Module):
    """What the transformer is trained on; sums, because parts of a batch ask unequally much."""

    def __init__(self, model: MaskedTransformer, group_head: nn.Linear) -> None:
        super().__init__()
        self.model = model
        self.group_head = group_head

    def forward(
        self,
        tokens: Tensor,
        asked: Sequence[Asked],
        sees: Tensor,
        groups: Tensor | None,
        smoothing: float,
        seeds: Sequence[int] | None,
    ) -> tuple[Tensor, Tensor]:
        """The sums of ``masked_loss`` and, if there are ``groups``, of ``group_loss``.

        ``sees`` is as in ``Batch``; ``seeds`` are those of each sample's dropout, if there is to
        be any.
        """
        kept = None if seeds is None else self.model.draw_kept(seeds)
        hidden = self.model.hidden(tokens, kept, None if self.model.form == "joint" else sees)
        masked = masked_loss(self.model, hidden, asked, smoothing)
        if groups is None:
            return masked, torch.zeros_like(masked)
        return masked, group_loss(self.group_head, self.model.split(hidden), groups)


class TransformerStep:
    """One step of the transformer's training: call it with the step's number."""

    def __init__(
        self,
        config: TransformerStageConfig,
        sequences: Sequences,
        processes: Processes,
        objective: Objective,
    ) -> None:
        loop = config.loop
        self.config = config
        self.sequences = sequences
        self.processes = processes
        self.model = objective.model
        self.places = processes.parts(loop.batch_size, loop.accumulate)
        self.parts = Prefetch(self._make, loop.steps, processes.device)
        self.group_steps = config.group_steps if objective.group_head.out_features > 1 else 0
        objective.group_head.requires_grad_(self.group_steps > 0)
        self.learner = Learner(objective, loop, processes, may_idle=self.group_steps > 0)

    def _make(self, step: int) -> list[Part]:
        """What this process learns from in a step."""
        return [self._part(self.sequences.batch(step, places)) for places in self.places]

    def _part(self, batch: Batch) -> Part:
        device = self.processes.device
        tokens = batch.codes.masked_fill(batch.mask, self.config.layout.mask_token_id)
        return Part(
            tokens=to_device(tokens, device),
            asked=asked_of(self.model, batch.codes, batch.asked, device),
            sees=to_device(batch.sees, device),
            groups=to_device(batch.groups, device),
            seeds=batch.seeds,
            n_asked=int(batch.asked.sum()),
            n_named=int((batch.groups != NO_GROUP).sum()),
        )

    def __call__(self, step: int) -> Measures:
        loop = self.config.loop
        parts = self.parts(step)
        counts = torch.tensor([[part.n_asked, part.n_named] for part in parts])
        n_asked, n_named = self.processes.sum(counts.sum(dim=0)).tolist()
        names_groups = step < self.group_steps and n_named > 0
        # The learner takes the mean of all parts, so that a sum is to be as many times larger.
        n_parts = len(parts) * self.processes.size
        rows: list[Measures] = []

        def loss_of(part: Part) -> Tensor:
            with autocast(loop.precision, self.processes.device):
                masked, named = self._sums(part, names_groups)
            loss = n_parts * masked / n_asked
            rows.append(measured({"loss": loss}))
            if names_groups:
                naming = n_parts * named / n_named
                rows[-1] |= measured({"group": naming})
                loss = loss + self.config.group_weight * naming
            return loss

        norm = self.learner.update(step, parts, loss_of)
        return {**mean(rows), "train/grad_norm": norm}

    def _sums(self, part: Part, names_groups: bool) -> tuple[Tensor, Tensor]:
        groups = part.groups if names_groups else None
        sums: tuple[Tensor, Tensor] = self.learner(
            part.tokens, part.asked, part.sees, groups, self.config.label_smoothing, part.seeds
        )
        return sums


def group_loss(head: nn.Linear, media: Sequence[Tensor], groups: Tensor) -> Tensor:
    """Cross-entropy of the group, read once from the positions (B, P, D) of each medium.

    The mean of the media, summed over the sequences that have a group.
    """
    losses = [
        F.cross_entropy(head(h.mean(dim=1)).float(), groups, ignore_index=NO_GROUP, reduction="sum")
        for h in media
    ]
    return torch.stack(losses).mean()


def asked_of(
    model: MaskedTransformer, codes: Tensor, asked: Tensor, device: torch.device
) -> list[Asked]:
    """Of each medium where ``asked`` (B, N) is true of the ``codes`` (B, N), on the device."""
    found = []
    for name in MEDIA:
        medium = model.medium(name)
        part = model.layout.image_slice if name == "image" else model.layout.audio_slice
        where = asked[:, part]
        wanted = medium.by_position(codes[:, part])[medium.by_position(where)]
        positions, tokens = (to_device(x, device) for x in medium.where(where))
        found.append((positions, tokens, to_device(wanted, device)))
    return found


def masked_loss(
    model: MaskedTransformer, hidden: Tensor, asked: Sequence[Asked], smoothing: float
) -> Tensor:
    """Cross-entropy of what is asked for, summed over both media.

    Only the asked positions go through the output tables: the others' logits are never read.
    """
    sums = []
    for name, h, (positions, tokens, wanted) in zip(MEDIA, model.split(hidden), asked, strict=True):
        scores = model.medium(name).logits_at(h, positions, tokens)
        sums.append(
            F.cross_entropy(scores.float(), wanted, label_smoothing=smoothing, reduction="sum")
        )
    return torch.stack(sums).sum()
