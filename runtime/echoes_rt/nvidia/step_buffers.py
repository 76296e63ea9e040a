"""Where the inputs and outputs of all steps of a decoding lie on a device."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Arrays
from echoes_rt.backends.device import Device
from echoes_rt.backends.session_start import import_onnxruntime

STATE, NEXT, CONTEXT = "tokens", "decoded", "context"
"""The input that goes round, the output that it comes back as, and what all steps share."""

_ALIGNMENT = 256
"""Bytes: what CUDA's own allocations have, and its kernels rely on."""


class StepBuffers:
    """Of decodings of one size, one after another.

    Attributes:
        n_steps: K of such a decoding.
        first: how many graphs are recorded before that of its first step; None: none is recorded.
    """

    def __init__(
        self,
        device: Device,
        tokens: NDArray[np.int32],
        context: NDArray[Any],
        steps: Sequence[Arrays],
        first: int | None,
    ) -> None:
        """Allocates what the arrays will take; ``steps`` are what each takes besides them."""
        self.n_steps = len(steps)
        self.first = first
        self._device = device
        self._tokens = [self._allocate(tokens.shape, tokens.dtype) for _ in range(2)]
        self._context = self._allocate(context.shape, context.dtype)
        self._places: list[dict[str, tuple[int, Any, tuple[int, ...]]]] = []
        end = 0
        for inputs in steps:
            places = {}
            for name, array in inputs.items():
                places[name] = (end, array.dtype.type, array.shape)
                end += -(-max(1, array.nbytes) // _ALIGNMENT) * _ALIGNMENT
            self._places.append(places)
        self._size = end
        self._plan = self._allocate((end,), np.dtype(np.uint8))
        self._bindings: dict[int, Any] = {}

    @staticmethod
    def size_of(
        tokens: NDArray[np.int32], context: NDArray[Any], steps: Sequence[Arrays]
    ) -> Hashable:
        """Equal for decodings that may use the same buffers."""
        shapes = tuple(tuple((name, a.shape) for name, a in inputs.items()) for inputs in steps)
        return tokens.shape, context.shape, shapes

    def fill(
        self, tokens: NDArray[np.int32], context: NDArray[Any], steps: Sequence[Arrays]
    ) -> None:
        """Puts a decoding on the device, in three copies at most."""
        plan = np.zeros(self._size, dtype=np.uint8)
        for places, inputs in zip(self._places, steps, strict=True):
            for name, array in inputs.items():
                start = places[name][0]
                data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                plan[start : start + data.size] = data
        for buffer, array in (
            (self._tokens[0], tokens),
            (self._context, context),
            (self._plan, plan),
        ):
            if array.size:
                buffer.update_inplace(np.ascontiguousarray(array))

    def binding(self, session: Any, step: int) -> Any:
        """The inputs and outputs of a step, for ``session``."""
        if step not in self._bindings:
            binding = self._bindings[step] = session.io_binding()
            binding.bind_ortvalue_input(STATE, self._tokens[step % 2])
            binding.bind_ortvalue_output(NEXT, self._tokens[1 - step % 2])
            binding.bind_ortvalue_input(CONTEXT, self._context)
            for name, (start, dtype, shape) in self._places[step].items():
                where = self._plan.device_name().lower(), self._device.index
                address = self._plan.data_ptr() + start
                binding.bind_input(name, *where, dtype, [*shape], address)
        return self._bindings[step]

    def unbind(self) -> None:
        """Before another session is given to ``binding``."""
        self._bindings.clear()

    def tokens(self, n_done: int) -> NDArray[np.int32]:
        """(B, N) after so many steps."""
        return np.array(self._tokens[n_done % 2].numpy())

    def _allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(
            [*shape], dtype.type, self._device.kind, self._device.index
        )
