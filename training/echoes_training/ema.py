"""Moving averages of weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of a module's parameters; buffers stay the newest.

    The decay grows with the steps up to its full value, so that the random beginning is soon
    forgotten (as TensorFlow's ``ExponentialMovingAverage`` does with ``num_updates``).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(module.named_parameters())
        self.tensors: dict[str, Tensor] = {}
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Forgets the past: the average becomes what the weights are now."""
        self.tensors = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after ``step``, counted from 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            # Not a sum of products: what does not change shall stay as it is to the last bit.
            average = self.tensors[name]
            average.add_(parameter - average, alpha=weight)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """In it, the module has the averaged weights."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._write(self.tensors)
        try:
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, tensors: dict[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[name])


def averages(modules: dict[str, nn.Module], decay: float) -> dict[str, Average]:
    """One for each module, or none at all if ``decay`` is 0."""
    return {name: Average(module, decay) for name, module in modules.items()} if decay else {}
