"""Questions of any size for an engine that takes some sizes only."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import BackendError, InputError
from echoes_rt.format.graphs import BATCH, STEPS, GraphSpec

Arrays = Mapping[str, NDArray[Any]]
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class EngineShapes:
    """What an engine says of its tensors.

    Attributes:
        dtypes: numpy's names.
        smallest: shape of every input.
        largest: likewise.
    """

    dtypes: dict[str, str]
    smallest: dict[str, Shape]
    largest: dict[str, Shape]

    @classmethod
    def read(cls, library: ModuleType, engine: Any) -> "EngineShapes":
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == library.TensorIOMode.INPUT]
        shapes = {}
        for name in inputs:
            shape = tuple(engine.get_tensor_shape(name))
            profile = engine.get_tensor_profile_shape(name, 0) if -1 in shape else [shape] * 3
            shapes[name] = [tuple(size) for size in profile]
        return cls(
            dtypes={
                name: np.dtype(library.nptype(engine.get_tensor_dtype(name))).name for name in names
            },
            smallest={name: sizes[0] for name, sizes in shapes.items()},
            largest={name: sizes[2] for name, sizes in shapes.items()},
        )

    def range_of(self, dim: str, signature: GraphSpec) -> tuple[int, int] | None:
        """Least and largest size of a free dimension; None if no input has it."""
        places = [
            (name, spec.shape.index(dim))
            for name, spec in signature.inputs.items()
            if dim in spec.shape
        ]
        if not places:
            return None
        return (
            max(self.smallest[name][axis] for name, axis in places),
            min(self.largest[name][axis] for name, axis in places),
        )


def fit(inputs: Arrays, signature: GraphSpec, shapes: EngineShapes) -> list[Arrays]:
    """The same question in parts that the engine takes, in the order of the batch.

    Members do not depend on each other, so a large batch is several small ones.

    Raises:
        InputError: if there are more steps than the engine was built for.
        BackendError: if another size is none of the engine's.
    """
    sizes = {
        dim: inputs[name].shape[axis]
        for name, spec in signature.inputs.items()
        for axis, dim in enumerate(spec.shape)
        if isinstance(dim, str)
    }
    for dim, size in sizes.items():
        least, most = shapes.range_of(dim, signature) or (size, size)
        if dim == STEPS and size > most:
            raise InputError(
                f"steps must be at most {most} with this TensorRT engine, got {size}; build one "
                "for more with echoes-export engine, or use another device"
            )
        if dim != BATCH and not least <= size <= most:
            raise BackendError(f"{dim} must be in [{least}, {most}] with this engine, got {size}")
    return _split(inputs, signature, shapes)


def _split(inputs: Arrays, signature: GraphSpec, shapes: EngineShapes) -> list[Arrays]:
    found = shapes.range_of(BATCH, signature)
    if found is None:
        return [inputs]
    axes = {
        name: spec.shape.index(BATCH)
        for name, spec in signature.inputs.items()
        if BATCH in spec.shape
    }
    total = next(inputs[name].shape[axis] for name, axis in axes.items())
    parts = -(-total // found[1])
    starts = [total * i // parts for i in range(parts + 1)]
    return [
        {
            name: np.take(array, np.arange(start, stop), axis=axes[name]) if name in axes else array
            for name, array in inputs.items()
        }
        for start, stop in pairwise(starts)
    ]
