"""What a graph gave, held to its signature: a foreign bundle's graphs may give anything."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import BundleError
from echoes_rt.spec.graphs import Dim, GraphSpec

Arrays = Mapping[str, NDArray[Any]]


def check_outputs(graph: str, signature: GraphSpec, inputs: Arrays, outputs: Arrays) -> None:
    """Raises BundleError if an output's dtype or shape is not the one that belongs to the inputs.

    A dimension given by name is as large as the inputs say; where they do not, it is free.
    """
    sizes: dict[Dim, int] = {}
    for name, spec in signature.inputs.items():
        sizes.update(zip(spec.shape, inputs[name].shape, strict=False))
    for name, output in outputs.items():
        spec = signature.outputs[name]
        wanted = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape]
        is_same = len(wanted) == output.ndim and all(
            isinstance(dim, str) or dim == size
            for dim, size in zip(wanted, output.shape, strict=True)
        )
        if not is_same or output.dtype != np.dtype(spec.dtype):
            raise BundleError(
                f"{graph} gave {name} as {output.dtype} {list(output.shape)}, its signature says "
                f"{spec.dtype} {wanted}; get the bundle again"
            )
