"""Products of the transformer in int8 for TensorRT: scales are measured before, zero points are 0.

QuantizeLinear and DequantizeLinear stand before both factors of a product; TensorRT makes one int8
product of all.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from echoes_export.int8_graph import Matrix, drop_unused, right_factor

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
    for node in graph.node:
        source = matrices.get(node.input[0]) if node.input else None
        if source is not None and node.op_type in ("Cast", "Transpose"):
            matrices[node.output[0]] = source.turned if node.op_type == "Transpose" else source
        matrix = right_factor(node, matrices)
        if matrix is not None:
            yield node, matrix


def qdq_graph(model: onnx.ModelProto, scales: Scales, folder: Path) -> onnx.ModelProto:
    """A copy that quantizes both factors of every product of ``scales``.

    Args:
        model: graph ``step`` with weights by reference.
        scales: from ``calibrate``.
        folder: where its weights lie.
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
            nodes += _quantized(graph, node, matrix, array.astype(np.float32), scales)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    return copy


def _quantized(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    matrix: Matrix,
    array: NDArray[np.float32],
    scales: Scales,
) -> Iterator[onnx.NodeProto]:
    """The nodes before a product, whose inputs become theirs; ``array`` is its (K, N) weight."""
    values, matrix_scale = matrix.names
    x, x_scale, x_zero = node.input[0], f"{node.output[0]}.scale", f"{node.output[0]}.zero"
    per_output = np.maximum(np.abs(array).max(axis=0), 1e-12) / LEVELS
    constants = {
        values: np.rint(array / per_output).astype(np.int8),
        matrix_scale: per_output.astype(np.float32),
        f"{values}.zero": np.zeros(len(per_output), dtype=np.int8),
        x_scale: np.array(scales[matrix.weight], dtype=np.float32),
        x_zero: np.array(0, dtype=np.int8),
    }
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    around = [x_scale, x_zero]
    levels, rounded, weight = (f"{node.output[0]}.{name}" for name in ("int8", "rounded", "weight"))
    yield helper.make_node("QuantizeLinear", [x, *around], [levels])
    yield helper.make_node("DequantizeLinear", [levels, *around], [rounded])
    factors = [values, matrix_scale, f"{values}.zero"]
    yield helper.make_node("DequantizeLinear", factors, [weight], axis=1)
    node.input[0], node.input[1] = rounded, weight
    for attribute in [a for a in node.attribute if a.name == "transB"]:
        node.attribute.remove(attribute)  # the weight is stored as it is read
