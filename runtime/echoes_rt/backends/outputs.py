"""What a graph gave, held to what it says of itself; a foreign bundle's may give anything."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Arrays
from echoes_rt.errors import BundleError
from echoes_rt.format.graphs import Dim, GraphSpec

T = TypeVar("T")


class Named(dict[str, T]):
    """Inputs or outputs by name; asking for one that the graph does not have raises BundleError."""

    def __init__(self, graph: str, values: dict[str, T]) -> None:
        super().__init__(values)
        self._graph = graph

    def __missing__(self, name: str) -> T:
        raise BundleError(f"{self._graph} has {', '.join(self)}, not {name}; get the bundle again")


def checked_outputs(
    graph: str, signature: GraphSpec, inputs: Arrays, values: Sequence[Any]
) -> Named[NDArray[Any]]:
    """The outputs by name.

    Raises:
        BundleError: if one's dtype or shape is not the one that belongs to the inputs. A dimension
            given by name is as large as the inputs say; where they do not, it is free.
    """
    sizes: dict[Dim, int] = {}
    for name, spec in signature.inputs.items():
        sizes.update(zip(spec.shape, inputs[name].shape, strict=False))
    outputs: Named[NDArray[Any]] = Named(graph, {})
    for (name, spec), value in zip(signature.outputs.items(), values, strict=True):
        output = outputs[name] = np.asarray(value)
        wanted = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape]
        is_same = len(wanted) == output.ndim and all(
            isinstance(dim, str) or dim == size
            for dim, size in zip(wanted, output.shape, strict=True)
        )
        if not is_same or output.dtype != np.dtype(spec.dtype):
            raise BundleError(
                f"{graph} gave {name} as {output.dtype} {list(output.shape)}, of which it says "
                f"{spec.dtype} {wanted}; get the bundle again"
            )
    return outputs
