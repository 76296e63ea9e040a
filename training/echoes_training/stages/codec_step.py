"""What the steps and evaluations of codecs and vocoder share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from echoes_training.config import LoopConfig
from echoes_training.device import autocast, step_generator
from echoes_training.losses import total
from echoes_training.models.quantizer import VectorQuantizer
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages.loop import Measures, Scalars, mean, measured
from echoes_training.stages.media import Medium

P = TypeVar("P")
K = TypeVar("K")


def learn(
    learner: Learner,
    step: int,
    parts: Sequence[P],
    weights: dict[str, float],
    losses_of: Callable[[P], tuple[dict[str, Tensor], K]],
) -> tuple[Measures, list[K]]:
    """One step down the weighted losses of the parts; also what ``losses_of`` gives beside them."""
    rows: list[Measures] = []
    beside: list[K] = []

    def loss_of(part: P) -> Tensor:
        losses, kept = losses_of(part)
        rows.append(measured(losses))
        beside.append(kept)
        return total(losses, weights)

    norm = learner.update(step, parts, loss_of)
    return {**mean(rows), "train/grad_norm": norm}, beside


def teach(judge: Learner, step: int, pairs: Sequence[tuple[Tensor, ...]]) -> Measures:
    """One step of the discriminators (a ``Judgement``) on what is real and what was made of it."""
    verdicts: list[Measures] = []

    def loss_of(pair: tuple[Tensor, ...]) -> Tensor:
        with autocast(judge.loop.precision, judge.processes.device):
            verdict: Tensor = judge(*pair)
        verdicts.append(measured({"discriminator": verdict}))
        return verdict

    norm = judge.update(step, pairs, loss_of)
    return {**mean(verdicts), "train/discriminator_grad_norm": norm}


def revive(
    quantizer: VectorQuantizer,
    found: Sequence[tuple[Tensor, Tensor]],
    processes: Processes,
    loop: LoopConfig,
    step: int,
    usage_decay: float,
) -> Tensor:
    """Moves dead codes onto latents of the whole batch; ``found`` are latents and codes by part."""
    z, codes = (processes.whole_batch(list(values)) for values in zip(*found, strict=True))
    return quantizer.revive(z, codes, step_generator(loop.seed, step), usage_decay)


def code_use(codes: Tensor, codebook_size: int) -> Scalars:
    """How many codes occur, and how many that occur equally often would say as much."""
    share = torch.bincount(codes.flatten(), minlength=codebook_size).double() / codes.numel()
    perplexity = torch.exp(-(share * share.clamp(min=1e-12).log()).sum())
    return {
        "validation/codes_used": float((share > 0).sum()),
        "validation/code_perplexity": float(perplexity),
    }


@torch.no_grad()
def evaluate_codec(
    medium: Medium,
    device: torch.device,
    codebook_size: int,
    sheet: Path | None,
    through: Callable[[Tensor], tuple[Tensor, Tensor, Scalars]],
) -> Scalars:
    """Error, use of codes and more, of up to 511 validation clips, evenly spread.

    Args:
        medium: with the clips.
        device: where ``through`` computes.
        codebook_size: of the codec.
        sheet: where to draw eight of them; None draws none.
        through: gives of a batch its codes, what they are decoded to, and what else it measures.
    """
    members = medium.clips["validation"]
    members = members[:: max(1, len(members) // 256)]
    rows, used = [], []
    for at in range(0, len(members), 32):
        x = medium.batch(members[at : at + 32], None).to(device)
        codes, decoded, scalars = through(x)
        rows.append({**scalars, "validation/reconstruction": (decoded - x).abs().mean().item()})
        used.append(codes.flatten())
    if sheet is not None:
        x = medium.batch(members[:: max(1, len(members) // 8)][:8], None).to(device)
        medium.sheet(sheet, x, through(x)[1].float())
    return {**mean(rows), **code_use(torch.cat(used), codebook_size)}
