"""EfficientNet-Lite0 (arXiv 1905.11946, without squeeze and swish), up to its last feature map."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

BN_EPSILON = 1e-3


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """Blocks of one width; the first one strides."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STEM = 32
_STAGES = (
    _Stage(repeats=1, kernel=3, stride=1, expansion=1, channels=16),
    _Stage(repeats=2, kernel=3, stride=2, expansion=6, channels=24),
    _Stage(repeats=2, kernel=5, stride=2, expansion=6, channels=40),
    _Stage(repeats=3, kernel=3, stride=2, expansion=6, channels=80),
    _Stage(repeats=3, kernel=5, stride=1, expansion=6, channels=112),
    _Stage(repeats=4, kernel=5, stride=2, expansion=6, channels=192),
    _Stage(repeats=1, kernel=3, stride=1, expansion=6, channels=320),
)
_HEAD = 1280


class _SameConv2d(nn.Conv2d):
    """Pads as TensorFlow does, where the weights come from: an odd rest goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - self.stride[0]
        return super().forward(F.pad(x, (total // 2, total - total // 2) * 2))


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return _SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)


class _Block(nn.Module):
    """Expand, depthwise, project, with a shortcut where the shape stays."""

    def __init__(self, inputs: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        width = inputs * stage.expansion
        self.has_shortcut = stride == 1 and inputs == stage.channels
        self.expand_conv: nn.Module = nn.Identity()
        self.bn0: nn.Module = nn.Identity()
        if stage.expansion > 1:
            self.expand_conv = _conv(inputs, width)
            self.bn0 = nn.BatchNorm2d(width, eps=BN_EPSILON)
        self.depthwise_conv = _conv(width, width, stage.kernel, stride, groups=width)
        self.bn1 = nn.BatchNorm2d(width, eps=BN_EPSILON)
        self.project_conv = _conv(width, stage.channels)
        self.bn2 = nn.BatchNorm2d(stage.channels, eps=BN_EPSILON)
        self.is_expanded = stage.expansion > 1

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu6(self.bn0(self.expand_conv(x))) if self.is_expanded else x
        h = F.relu6(self.bn1(self.depthwise_conv(h)))
        h = self.bn2(self.project_conv(h))
        return x + h if self.has_shortcut else h


class EfficientNetLite0(nn.Module):
    """(B, 3, H, W), RGB as (x - 127) / 128, to maps at a 4th, 8th, 16th and 32nd of the size."""

    channels = (24, 40, 112, _HEAD)

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _conv(3, _STEM, 3, 2)
        self.bn0 = nn.BatchNorm2d(_STEM, eps=BN_EPSILON)
        blocks = []
        width = _STEM
        for stage in _STAGES:
            for repeat in range(stage.repeats):
                blocks.append(_Block(width, stage, stage.stride if repeat == 0 else 1))
                width = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = _conv(width, _HEAD)
        self.bn1 = nn.BatchNorm2d(_HEAD, eps=BN_EPSILON)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h = F.relu6(self.bn0(self.conv_stem(x)))
        widest = {}  # the last map of each width
        for block in self.blocks:
            h = block(h)
            widest[h.shape[1]] = h
        last = F.relu6(self.bn1(self.conv_head(h)))
        return (*(widest[n] for n in self.channels[:-1]), last)
