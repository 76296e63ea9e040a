"""Questions of any size for an engine that takes some sizes only."""

from itertools import pairwise

import numpy as np

from echoes_rt.backends.base import Arrays
from echoes_rt.errors import BackendError, InputError
from echoes_rt.format.engine_file import EngineFile
from echoes_rt.format.graphs import BATCH, STEPS


def fit(inputs: Arrays, engine: EngineFile) -> list[Arrays]:
    """The same question in parts that the engine takes, in the order of the batch.

    Members do not depend on each other, so a large batch is several small ones.

    Raises:
        InputError: if there are more steps than the engine was built for.
        BackendError: if another size is none of the engine's.
    """
    sizes = {
        dim: inputs[name].shape[axis]
        for name, spec in engine.inputs.items()
        for axis, dim in enumerate(spec.shape)
        if isinstance(dim, str)
    }
    for dim, size in sizes.items():
        least, _, most = engine.ranges[dim]
        if dim == STEPS and size > most:
            raise InputError(
                f"steps must be at most {most} with this TensorRT engine, got {size}; build one "
                "for more with echoes-export engine, or use another device"
            )
        if dim != BATCH and not least <= size <= most:
            raise BackendError(f"{dim} must be in [{least}, {most}] with this engine, got {size}")
    if BATCH not in sizes:
        return [inputs]
    axes = {n: spec.shape.index(BATCH) for n, spec in engine.inputs.items() if BATCH in spec.shape}
    parts = -(-sizes[BATCH] // engine.ranges[BATCH][2])
    starts = [sizes[BATCH] * i // parts for i in range(parts + 1)]
    return [
        {
            name: np.take(array, np.arange(start, stop), axis=axes[name]) if name in axes else array
            for name, array in inputs.items()
        }
        for start, stop in pairwise(starts)
    ]
