"""Floating-point operations of one node, from the shapes that it met."""

import math
from collections.abc import Sequence

Shape = Sequence[int]

# Where each product has its second factor. Quantized ones have a scale and a zero point in between.
_MATRIX_PRODUCTS = {
    "MatMul": 1,
    "FusedMatMul": 1,
    "Gemm": 1,
    "FusedGemm": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "QLinearMatMul": 3,
    "QGemm": 3,
}
_CONVOLUTIONS = {
    "Conv": 1,
    "FusedConv": 1,
    "NhwcFusedConv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
}
_TRANSPOSED = {"ConvTranspose": 1}


def node_flop(op_type: str, inputs: Sequence[Shape], output: Shape) -> int:
    """Two operations for each multiplication and addition of a product; 0 for all other operators.

    Products are all but a few percent of a network's work, and what a GEMM's peak speaks of.

    Args:
        op_type: ONNX's or ONNX Runtime's own, which fuses and quantizes.
        inputs: of every input, the constants too.
        output: of the first output.
    """
    if op_type in _MATRIX_PRODUCTS:
        rows, columns = inputs[_MATRIX_PRODUCTS[op_type]][-2:]
        # Either may be transposed; the width of the output says which is the inner one.
        return 2 * math.prod(output) * (rows * columns // output[-1])
    if op_type in _CONVOLUTIONS:
        return 2 * math.prod(output) * math.prod(inputs[_CONVOLUTIONS[op_type]][1:])
    if op_type in _TRANSPOSED:
        return 2 * math.prod(inputs[0]) * math.prod(inputs[_TRANSPOSED[op_type]][1:])
    return 0
