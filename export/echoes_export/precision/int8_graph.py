"""Products with constant matrices, rewritten to integers in one ONNX graph."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

Find = Callable[[TensorProto], str | None]
"""The name of the weight that an initializer stands for; None if it is to stay as it is."""

_LEVELS = 63
"""Of 7 bits: where a processor has no 8-bit dot product (x86 before VNNI), ONNX Runtime adds pairs
of products in 16 bits, which 255 * 127 * 2 overflows and 255 * 63 * 2 does not."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A constant matrix that a graph multiplies by; ``is_transposed`` as it is stored."""

    weight: str
    is_transposed: bool

    @property
    def turned(self) -> "Matrix":
        return Matrix(weight=self.weight, is_transposed=not self.is_transposed)

    @property
    def names(self) -> tuple[str, str]:
        """Of the int8 values and of their scales."""
        suffix = ".t" if self.is_transposed else ""
        return f"{self.weight}{suffix}.int8", f"{self.weight}{suffix}.scale"


def quantized(
    weights: NDArray[np.float32], levels: int = _LEVELS
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A (K, N) matrix as int8 and (N,) scales: each output has its own."""
    largest = np.abs(weights).max(axis=0)
    scales = np.where(largest > 0, largest / levels, 1).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales


def quantize_graph(graph: onnx.GraphProto, find: Find, load: Callable[[Matrix], None]) -> int:
    """Rewrites every MatMul and Gemm by a found weight, also inside of loops and branches.

    What enters such a product is quantized when the graph runs, with one scale for the whole
    tensor. ONNX Runtime makes one operator of the five that a product becomes.

    Args:
        graph: is changed; new initializers have no data yet.
        find: of a 2-D weight.
        load: is told of each matrix that the graph needs.

    Returns:
        How many products were rewritten.
    """
    matrices = {}
    for tensor in graph.initializer:
        weight = find(tensor) if len(tensor.dims) == 2 else None
        if weight is not None:
            matrices[tensor.name] = Matrix(weight=weight, is_transposed=False)
    used: dict[str, Matrix] = {}
    count = _rewrite(graph, matrices, used)
    for matrix in used.values():
        load(matrix)
        for name, kind in zip(matrix.names, (TensorProto.INT8, TensorProto.FLOAT), strict=True):
            graph.initializer.append(TensorProto(name=name, data_type=kind))
    drop_unused(graph)
    return count


def _rewrite(graph: onnx.GraphProto, outer: dict[str, Matrix], used: dict[str, Matrix]) -> int:
    matrices = dict(outer)
    nodes: list[onnx.NodeProto] = []
    inputs: dict[str, list[str]] = {}
    count = 0
    for node, matrix in factors(graph, matrices):
        for body in _bodies(node):
            count += _rewrite(body, matrices, used)
        if matrix is None:
            nodes.append(node)
        else:
            used[matrix.names[0]] = matrix
            nodes += _product(node, matrix, inputs)
            count += 1
    del graph.node[:]
    graph.node.extend(nodes)
    return count


def factors(
    graph: onnx.GraphProto, matrices: dict[str, Matrix]
) -> Iterator[tuple[onnx.NodeProto, Matrix | None]]:
    """Every node, and the constant matrix that it multiplies by, if it does.

    ``matrices`` are those of initializers, by name; casts and turns of them are added.
    """
    for node in graph.node:
        source = matrices.get(node.input[0]) if node.input else None
        if source is not None and node.op_type in ("Cast", "Transpose"):
            matrices[node.output[0]] = source.turned if node.op_type == "Transpose" else source
        yield node, _right_factor(node, matrices)


def _right_factor(node: onnx.NodeProto, matrices: dict[str, Matrix]) -> Matrix | None:
    """The constant matrix that a product multiplies by from the right, as (K, N)."""
    if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in matrices:
        return None
    matrix = matrices[node.input[1]]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    is_turned = bool(attributes.pop("transB", 0))
    # A layer's Gemm is x W^T + b and nothing else.
    if attributes.pop("transA", 0) or any(value != 1 for value in attributes.values()):
        return None
    return matrix.turned if is_turned else matrix


def _product(
    node: onnx.NodeProto, matrix: Matrix, inputs: dict[str, list[str]]
) -> Iterator[onnx.NodeProto]:
    """The nodes for one product; ``inputs`` holds what was quantized already."""
    x, output = node.input[0], node.output[0]
    has_bias = len(node.input) > 2
    if x not in inputs:
        inputs[x] = [f"{x}.{part}" for part in ("int8", "scale", "zero")]
        yield helper.make_node("DynamicQuantizeLinear", [x], inputs[x])
    values, scale, zero = inputs[x]
    weights, scales = matrix.names
    product, cast, both = (f"{output}.{part}" for part in ("product", "cast", "scale"))
    yield helper.make_node("MatMulInteger", [values, weights, zero], [product])
    yield helper.make_node("Cast", [product], [cast], to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [scale, scales], [both])
    total = f"{output}.total" if has_bias else output
    yield helper.make_node("Mul", [cast, both], [total])
    if has_bias:
        yield helper.make_node("Add", [total, node.input[2]], [output])


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def drop_unused(graph: onnx.GraphProto) -> None:
    """Casts and turns of matrices that nobody reads any more, and the matrices."""
    while True:
        read = set(_read(graph.node)) | {value.name for value in graph.output}
        idle = [node for node in graph.node if read.isdisjoint(node.output)]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)


def _read(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield from node.input
        for body in _bodies(node):
            yield from _read(body.node)
            yield from (value.name for value in body.output)
