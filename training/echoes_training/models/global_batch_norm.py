"""Batch norm over the batch of all processes."""

import torch
from torch import Tensor, distributed, nn

from echoes_training.processes import are_many, mean_over_processes


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose statistics do not depend on how many processes share a batch.

    ``nn.SyncBatchNorm`` does the same, but on GPUs alone. All processes must have equally many
    values.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and are_many()):
            return super().forward(x)
        values = x.float()
        mean = mean_over_processes(values.mean(dim=(0, 2, 3)))
        centred = values - mean[:, None, None]
        variance = mean_over_processes(centred.square().mean(dim=(0, 2, 3)))
        count = distributed.get_world_size() * values[:, 0].numel()
        self._remember(mean.detach(), variance.detach(), count)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Moves the running statistics as ``nn.BatchNorm2d`` does, with the unbiased variance."""
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / max(1, count - 1), self.momentum)
