"""What a guided teacher decodes, and what a student with fewer steps is asked on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from echoes_rt.decode.plan import make_plan
from echoes_rt.format.sampling import Sampling, num_masked
from echoes_rt.format.tokens import OTHER
from echoes_training.masking import Mask
from echoes_training.models.transformer import MaskedTransformer, MediumEmbedding


@dataclass(frozen=True, kw_only=True)
class Task:
    """Targets of one medium that are to be decoded; B samples.

    Attributes:
        medium: of the targets.
        tokens: (B, n) int64, the grid's mask token where unknown.
        others: (B, m) codes of the other medium, its mask token where hidden.
        sees: (B,) bool, whether a target may look at them.
        uniforms: (B, n) float64, the noise by which the teacher draws.
    """

    medium: str
    tokens: Tensor
    others: Tensor
    sees: Tensor
    uniforms: Tensor

    def to(self, device: torch.device) -> "Task":
        return replace(
            self,
            tokens=self.tokens.to(device),
            others=self.others.to(device),
            sees=self.sees.to(device),
            uniforms=self.uniforms.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """States of the student's decoding, and what it is to answer in each; R states.

    Attributes:
        medium: of the targets.
        tokens: (R, n) int64, the grid's mask token where unknown.
        asked: (R, n) bool, the codes that are drawn next.
        wanted: (M, V) float32, the teacher's distribution of each of them.
        others: (S, m) codes of the other medium, of the samples whose targets may look at them.
        context: (R,) int64, which of these a state looks at; -1 for none.
    """

    medium: str
    tokens: Tensor
    asked: Tensor
    wanted: Tensor
    others: Tensor
    context: Tensor


@torch.no_grad()
def roll_out(teacher: MaskedTransformer, task: Task, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Decodes as ``echoes_rt.decode.reference`` does, and keeps what each code was drawn from.

    Returns:
        (B, n) codes, and (B, n, V) float32 distributions, all 0 where the code was known.
    """
    grid = teacher.layout.grids[task.medium]
    medium = teacher.medium(task.medium)
    tokens = task.tokens.clone()
    plan = make_plan((tokens == grid.mask_token).cpu().numpy(), grid.order, sampling)
    positions = torch.from_numpy(plan.positions).long().to(tokens.device)
    context = context_of(teacher, task.medium, task.others[task.sees])
    drawn_from = torch.zeros(*tokens.shape, grid.codebook_size, device=tokens.device)
    for step, scale in enumerate(plan.guidance_scale):
        # One position more takes what a member does not draw.
        drawn = torch.zeros(len(tokens), grid.n_tokens + 1, dtype=torch.bool, device=tokens.device)
        drawn = drawn.scatter_(1, positions[step], True)[:, :-1]
        h = guided_hidden(teacher, task.medium, tokens, task.sees, context, float(scale))
        scores = medium.logits_at(h, *medium.where(drawn)).float()
        weights = weights_of(scores, **plan.drawing_at(step))
        where = places(medium, drawn)
        tokens.view(-1)[where] = draw(weights, task.uniforms.flatten()[where])
        shares = weights / weights.sum(dim=-1, keepdim=True)
        drawn_from.view(-1, grid.codebook_size)[where] = shares.float()
    return tokens, drawn_from


def weights_of(logits: Tensor, *, temperature: np.float32) -> Tensor:
    """(..., V) float64 of (..., V) logits: how likely each token is, but for a factor.

    Together with ``draw`` it is ``echoes_rt.decode.reference.draw`` of many tokens at once.
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).double()
    below_best = (logits - logits.amax(dim=-1, keepdim=True)).double()
    return (below_best / float(temperature)).exp()


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """(...,) int64 tokens of (..., V) weights and (...,) float64 uniforms, by inverse CDF."""
    sums = weights.cumsum(dim=-1)
    short = sums < uniforms[..., None] * sums[..., -1:]
    return short.sum(dim=-1).clamp(max=weights.shape[-1] - 1)


def context_of(model: MaskedTransformer, medium: str, others: Tensor) -> Tensor | None:
    """Of the other medium's codes (S, m), for targets of ``medium``; none of none."""
    return model.context(others, OTHER[medium]) if len(others) else None


def guided_hidden(
    model: MaskedTransformer,
    medium: str,
    tokens: Tensor,
    sees: Tensor,
    context: Tensor | None,
    scale: float,
) -> Tensor:
    """(B, P, D), mixed of both branches for targets that have a context, as scores would be.

    Scores are an affine function of it, so that those of the mixture are the mixed scores.

    Args:
        model: in context form.
        medium: of the targets.
        tokens: (B, n) of the targets.
        sees: (B,) bool, which of them have a context.
        context: of those.
        scale: of guidance; 1 needs no second branch.
    """
    alone = ~sees if scale == 1 else torch.ones_like(sees)
    n_positions, width = model.medium(medium).n_positions, model.norm.normalized_shape[0]
    h = torch.zeros(len(tokens), n_positions, width, device=tokens.device)
    if alone.any():
        h[alone] = model.target_hidden(tokens[alone], medium).float()
    if context is not None:
        seen = model.target_hidden(tokens[sees], medium, context).float()
        h[sees] = h[sees] + scale * (seen - h[sees])
    return h


def lesson_of(
    teacher: MaskedTransformer, task: Task, sampling: Sampling, steps: Sequence[int]
) -> Lesson:
    """The states in which a student that takes any of these numbers of ``steps`` draws."""
    grid = teacher.layout.grids[task.medium]
    codes, drawn_from = roll_out(teacher, task, sampling)
    unknown = (task.tokens == grid.mask_token).cpu().numpy()
    samples, hidden, asked = (
        torch.from_numpy(part).to(codes.device) for part in states(unknown, grid.order, steps)
    )
    medium = teacher.medium(task.medium)
    # Where the asked codes of each state lie among those of all samples.
    flat = torch.arange(codes.numel(), device=codes.device).view_as(codes)[samples]
    rank = torch.where(task.sees, task.sees.cumsum(dim=0) - 1, -1)
    return Lesson(
        medium=task.medium,
        tokens=codes[samples].masked_fill(hidden, grid.mask_token),
        asked=asked,
        wanted=drawn_from.flatten(0, 1)[by_place(medium, flat, asked)],
        others=task.others[task.sees],
        context=rank[samples],
    )


def states(
    unknown: Mask, order: Sequence[int], steps: Sequence[int]
) -> tuple[NDArray[np.int64], Mask, Mask]:
    """When a student draws: the sample (R,), what is still hidden (R, n) and what it draws (R, n).

    States of different numbers of steps that know the same codes are one, which is asked for the
    most that any of them draws.
    """
    samples: list[int] = []
    hidden: list[Mask] = []
    asked: list[Mask] = []
    for sample, row in enumerate(unknown):
        positions = np.asarray(order)[row[list(order)]]
        ends: dict[int, int] = {}
        for n_steps in steps:
            left = num_masked(len(positions), min(n_steps, len(positions)))
            for begin, end in pairwise([0, *(len(positions) - n for n in left)]):
                ends[begin] = max(end, ends.get(begin, 0))
        for begin, end in ends.items():
            samples.append(sample)
            for rows, part in ((hidden, positions[begin:]), (asked, positions[begin:end])):
                rows.append(np.isin(np.arange(len(row)), part))
    return np.asarray(samples), np.stack(hidden), np.stack(asked)


def places(medium: MediumEmbedding, asked: Tensor) -> Tensor:
    """(M,) int64: among all B * n codes, those asked for, as ``logits_at`` orders them."""
    return by_place(medium, torch.arange(asked.numel(), device=asked.device).view_as(asked), asked)


def by_place(medium: MediumEmbedding, values: Tensor, asked: Tensor) -> Tensor:
    """(M,) of (B, n) values, those asked for, as ``logits_at`` orders them."""
    return medium.by_position(values)[medium.by_position(asked)]
