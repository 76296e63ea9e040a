"""AdamW with the field's usual parameter groups, warm-up and cosine fall."""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from echoes_training.config import LoopConfig
from echoes_training.processes import Processes, gathered

P = TypeVar("P")


def make_optimizer(module: nn.Module, loop: LoopConfig) -> torch.optim.AdamW:
    """Weight decay on all that has two or more dimensions, but for embeddings and codebooks.

    Biases and norms have one; the transformer's vectors of rows and columns count as a matrix.
    """
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
    # One launch instead of a dozen; on a CPU the plain one, to whose last bit runs are repeated.
    fused = any(parameter.is_cuda for parameter in module.parameters()) or None
    return torch.optim.AdamW(groups, lr=loop.learning_rate, betas=loop.betas, fused=fused)


def learning_rate(loop: LoopConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    if step < loop.warmup_steps:
        return loop.learning_rate * (step + 1) / loop.warmup_steps
    progress = (step - loop.warmup_steps) / max(1, loop.steps - loop.warmup_steps)
    return loop.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


class Learner:
    """A module with its optimizer; calling it calls the module.

    Only what is computed by that call may reach the parameters' gradients: there the processes'
    gradients are brought together.
    """

    def __init__(
        self,
        module: nn.Module,
        loop: LoopConfig,
        processes: Processes,
        *,
        trained: nn.Module | None = None,
        may_idle: bool = False,
    ) -> None:
        """Takes ``trained``, a part of the module, as what to optimize, or else all of it.

        ``may_idle`` is as in ``Processes.wrap``.
        """
        self.loop = loop
        self.processes = processes
        self.trained = module if trained is None else trained
        self.wrapped = processes.wrap(module, may_idle=may_idle)
        self.optimizer = make_optimizer(self.trained, loop)

    def __call__(self, *inputs: Any) -> Any:
        return self.wrapped(*inputs)

    def update(self, step: int, parts: Sequence[P], loss_of: Callable[[P], Tensor]) -> Tensor:
        """One step down the mean of the parts' losses; returns its norm before clipping, ()."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.loop, step)
        self.optimizer.zero_grad(set_to_none=True)
        for number, part in enumerate(parts, start=1):
            with contextlib.ExitStack() as stack:
                if number < len(parts):
                    stack.enter_context(self.processes.without_exchange(self.wrapped))
                (loss_of(part) / len(parts)).backward()
        clipped = nn.utils.clip_grad_norm_(self.trained.parameters(), self.loop.grad_clip)
        self.optimizer.step()
        return gathered(clipped)
