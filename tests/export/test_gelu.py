"""GELU is written for ONNX Runtime's kernel and stays the same number."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from echoes_export.graphs.nodes import Nodes
from echoes_export.graphs.onnx_graph import order_gelu
from echoes_rt.format.graphs import GraphSpec, TensorSpec

SIGNATURE = GraphSpec(
    inputs={"x": TensorSpec(dtype="float32", shape=("n",))},
    outputs={"y": TensorSpec(dtype="float32", shape=("n",))},
)


def gelu(half: float, *, is_used_twice: bool = False) -> onnx.ModelProto:
    """As the exporter writes it."""
    nodes = Nodes("", {})
    root = nodes.constant(np.sqrt(2), "float32")
    one = nodes.constant(1, "float32")
    total = nodes("Add", nodes("Erf", nodes("Div", "x", root)), one)
    scaled = nodes("Mul", nodes.constant(half, "float32"), total)
    product = nodes("Mul", "x", scaled, output="product" if is_used_twice else "y")
    if is_used_twice:
        nodes("Add", product, scaled, output="y")
    return nodes.model("gelu", SIGNATURE)


def run(model: onnx.ModelProto, level: ort.GraphOptimizationLevel) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    x = np.random.default_rng(0).normal(0, 2, 999).astype(np.float32)
    session = ort.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, {"x": x})[0])


def test_result_is_the_same_to_the_last_bit() -> None:
    before, after = gelu(0.5), gelu(0.5)
    order_gelu(after.graph)
    assert before != after
    plain = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    np.testing.assert_array_equal(run(before, plain), run(after, plain))
    fused = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    np.testing.assert_allclose(run(after, fused), run(before, plain), atol=1e-6)


def test_runtime_knows_it_as_one_kernel(tmp_path: Path) -> None:
    model = gelu(0.5)
    order_gelu(model.graph)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(model.SerializeToString(), options)
    optimized = onnx.load(options.optimized_model_filepath)
    assert [node.op_type for node in optimized.graph.node] == ["Gelu"]


@pytest.mark.parametrize("model", [gelu(0.25), gelu(0.5, is_used_twice=True)])
def test_everything_else_is_left_alone(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    order_gelu(model.graph)
    assert model.SerializeToString() == before
