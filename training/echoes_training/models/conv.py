"""Convolutional blocks of the VQGAN, with the layer names of taming-transformers."""

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

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


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups of taming-transformers where they divide the width, else the largest that does."""
    groups = next(n for n in (32, 16, 8, 4, 2, 1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)


def norm_layer(channels: int, kind: str) -> nn.Module:
    """``group``, or ``batch``, which learns faster from few pictures."""
    return GlobalBatchNorm2d(channels) if kind == "batch" else group_norm(channels)


class ResBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut: (B, in, H, W) -> (B, out, H, W).

    In the ``maskgit`` variant convolutions have no bias, and where the width changes the shortcut
    reads the block's own result instead of its input.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm: str = "group", variant: str = "taming"
    ) -> None:
        super().__init__()
        is_maskgit = variant == "maskgit"
        self.norm1 = norm_layer(in_channels, norm)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not is_maskgit)
        self.norm2 = norm_layer(out_channels, norm)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=not is_maskgit)
        self.nin_shortcut: nn.Module = nn.Identity()
        self.shortcut_reads_result = is_maskgit and in_channels != out_channels
        if in_channels != out_channels:
            source = out_channels if is_maskgit else in_channels
            self.nin_shortcut = nn.Conv2d(source, out_channels, 1, bias=not is_maskgit)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(h if self.shortcut_reads_result else x) + h


class AttentionBlock(nn.Module):
    """Single-head self-attention over all positions: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2) for f in (self.q, self.k, self.v))  # (B, HW, C)
        weights = torch.softmax(q @ k.transpose(1, 2) * C**-0.5, dim=-1)
        h = (weights @ v).transpose(1, 2).reshape(B, C, H, W)
        return x + self.proj_out(h)


class Downsample(nn.Module):
    """Halves both sides; pads right and below only, as taming-transformers does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Doubles both sides by nearest neighbour, then smooths."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
