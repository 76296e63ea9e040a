"""Products of the transformer in int8 for TensorRT: scales are measured before, zero points are 0.

QuantizeLinear and DequantizeLinear stand before both factors of a product; TensorRT makes one int8
product of all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from echoes_export.precision.int8_graph import Matrix, drop_unused, factors, quantized

Scales = dict[str, float]
"""What one level stands for in what is multiplied by a weight, by the name of the weight."""

LEVELS = 127

QUANTIZED = "transformer.blocks."
"""The heads stay as they are: they decide, and are small."""


def constant_factors(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, Matrix]]:
    """Every product with a weight of ``QUANTIZED``, and that weight."""
    matrices = {
        tensor.name: Matrix(weight=tensor.name, is_transposed=False)
        for tensor in graph.initializer
        if tensor.name.startswith(QUANTIZED) and len(tensor.dims) == 2
    }
    for node, matrix in factors(graph, matrices):
        if matrix is not None:
            yield node, matrix


def qdq_graph(
    model: onnx.ModelProto, scales: Scales, folder: Path, *, is_emulated: bool
) -> onnx.ModelProto:
    """A copy that quantizes both factors of every product of ``scales``.

    Args:
        model: with weights by reference.
        scales: from ``calibrate``.
        folder: where its weights lie.
        is_emulated: store weights as the float32 numbers that the integers stand for. From
            integers ONNX Runtime makes int8 products, which overflow on an x86 without VNNI.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    found = {node.output[0]: matrix for node, matrix in constant_factors(graph)}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        matrix = found.get(node.output[0])
        if matrix is not None:
            array = numpy_helper.to_array(weights[matrix.weight], str(folder))
            array = array.T if matrix.is_transposed else array
            array = array.astype(np.float32)
            nodes += _rounded_input(graph, node, scales[matrix.weight])
            nodes += _rounded_weight(graph, node, matrix, array, is_emulated=is_emulated)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    return copy


def _rounded_input(
    graph: onnx.GraphProto, node: onnx.NodeProto, scale: float
) -> Iterator[onnx.NodeProto]:
    levels, rounded, *around = (
        f"{node.output[0]}.{name}" for name in ("int8", "rounded", "scale", "zero")
    )
    values: list[NDArray[Any]] = [np.array(scale, dtype=np.float32), np.array(0, dtype=np.int8)]
    for name, value in zip(around, values, strict=True):
        graph.initializer.append(numpy_helper.from_array(value, name))
    yield helper.make_node("QuantizeLinear", [node.input[0], *around], [levels])
    yield helper.make_node("DequantizeLinear", [levels, *around], [rounded])
    node.input[0] = rounded


def _rounded_weight(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    matrix: Matrix,
    array: NDArray[np.float32],
    *,
    is_emulated: bool,
) -> Iterator[onnx.NodeProto]:
    """Replaces the second factor by ``array`` (K, N), each output with a scale of its own."""
    values, scale = matrix.names
    zero, weight = f"{values}.zero", f"{values}.rounded"
    integers, per_output = quantized(array, LEVELS)
    constants = {values: integers, scale: per_output, zero: np.zeros_like(integers[0])}
    if is_emulated:
        constants = {weight: integers * per_output}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    if not is_emulated:
        yield helper.make_node("DequantizeLinear", [values, scale, zero], [weight], axis=1)
    node.input[1] = weight
    for attribute in [a for a in node.attribute if a.name == "transB"]:
        node.attribute.remove(attribute)  # the weight is stored as it is read
