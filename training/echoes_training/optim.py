"""AdamW with the field's usual parameter groups, warm-up and cosine fall."""

import math

import torch
from torch import nn

from echoes_training.config import LoopConfig


def make_optimizer(module: nn.Module, loop: LoopConfig) -> torch.optim.AdamW:
    """Weight decay on matrices and kernels only, not on biases, norms, embeddings or codebooks."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for owner in module.modules():
        for parameter in owner.parameters(recurse=False):
            matrix = parameter.ndim >= 2 and not isinstance(owner, nn.Embedding)
            (decayed if matrix else plain).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": loop.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=loop.learning_rate, betas=loop.betas)


def learning_rate(loop: LoopConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    if step < loop.warmup_steps:
        return loop.learning_rate * (step + 1) / loop.warmup_steps
    progress = (step - loop.warmup_steps) / max(1, loop.steps - loop.warmup_steps)
    return loop.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def update(
    optimizer: torch.optim.Optimizer, module: nn.Module, loss: torch.Tensor, loop: LoopConfig
) -> float:
    """One step of ``optimizer`` on ``loss``; returns the gradient's norm before clipping."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(module.parameters(), loop.grad_clip)
    optimizer.step()
    return float(norm)
