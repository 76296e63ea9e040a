"""The graphs for TensorRT: the reference's tokens, and float16 only where it is safe."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tests.export.test_decode_graphs import SAMPLINGS

from echoes_export.tensorrt.bundle import engine_graph, write_engine_bundle
from echoes_export.tensorrt.command import COMPARED, GRAPHS
from echoes_export.tensorrt.scales import measure_scales
from echoes_export.verify import mixed_question
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import compare_bundles, noise_pictures
from echoes_rt.decode import steps
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import make_plan
from echoes_rt.errors import BundleError
from echoes_rt.format.tokens import MEDIA
from echoes_rt.model import Model

SEEDS = 20

# Of TensorRT-RTX 1.7's parser; the first two and data-dependent K were what stood in the way.
UNSUPPORTED = {
    *("NonZero", "TopK", "Attention", "Bernoulli", "Multinomial", "RandomUniform", "Compress"),
    *("Unique", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QLinearMatMul", "DFT"),
    *("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "ArgMax"),
}
"""The last one is there, but TensorRT promises no order of equals."""


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def nodes_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += nodes_of(attribute.g)
    return found


def test_tokens_are_the_references(bundle: Bundle, tmp_path: Path) -> None:
    after = write_engine_bundle(bundle, tmp_path, ["decode_audio", "decode_image"], "fp32")
    engine, layout = Model.load(bundle, device="cpu"), bundle.manifest.tokens
    for target in MEDIA:
        grid = layout.grids[target]
        session = OnnxSession(after.graph_path(f"decode_{target}"), "cpu")
        tokens, context = mixed_question(layout, target, 6)
        seen = engine.context(target, context)
        for seed in range(SEEDS):
            sampling = SAMPLINGS[seed % len(SAMPLINGS)]
            plan = make_plan(tokens == grid.mask_token, grid.order, sampling)
            seeds = range(seed, seed + len(tokens))
            expected = engine.decode_tokens(target, tokens, context, seeds=seeds, sampling=sampling)
            noise = uniforms(seeds, 0, grid.n_tokens)
            decoded = steps.decode_at_once(session, tokens, seen, plan, noise)
            np.testing.assert_array_equal(decoded, expected, err_msg=f"{target}, seed {seed}")


def test_operators_are_tensorrts(bundle: Bundle) -> None:
    for precision in ("fp32", "fp16"):
        for name in GRAPHS:
            model = engine_graph(bundle, name, precision)
            assert not UNSUPPORTED & {node.op_type for node in nodes_of(model.graph)} - {"ArgMax"}
            assert TensorProto.DOUBLE not in {t.data_type for t in model.graph.initializer}
            loops = [node for node in model.graph.node if node.op_type == "Loop"]
            assert len(loops) == (name in ("decode_audio", "decode_image"))
            for node in loops:
                inside = {inner.op_type for inner in nodes_of(node.attribute[0].g)}
                assert not UNSUPPORTED & inside


def test_norms_and_decisions_stay_in_float32(bundle: Bundle) -> None:
    halves = {}
    for name in ("image_encoder", "logits_audio", "mel_decoder", "vocoder"):
        model = onnx.shape_inference.infer_shapes(engine_graph(bundle, name, "fp16"))
        kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
        kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        products = [0, 0]
        for node in model.graph.node:
            is_half = any(kinds.get(value) == TensorProto.FLOAT16 for value in node.input)
            if node.op_type in ("LayerNormalization", "Softmax", "Erf", "Exp", "Sin", "ArgMax"):
                assert not is_half, (name, node.op_type)
            if node.op_type in ("MatMul", "Conv", "Gemm"):
                products[is_half] += 1
        halves[name] = products
    # One product finds the nearest code; five are the vocoder's head, noise and inverse DFT.
    assert [full for full, _ in halves.values()] == [1, 0, 0, 5]
    assert all(half > 2 for _, half in halves.values())


def test_float16_moves_little(bundle: Bundle, tmp_path: Path) -> None:
    after = write_engine_bundle(bundle, tmp_path, COMPARED, "fp16")
    effect = compare_bundles(bundle, after, noise_pictures(bundle.manifest.image, 4))
    found = {(check.graph, check.metric): check.value for check in effect}
    assert 0 < found["logits_audio", "relative error"] < 3e-3
    decoding = "decode_audio_step"
    assert found[decoding, "equal tokens of one step"] > 0.9
    assert found[decoding, "equal tokens of all steps"] > found[decoding, "equal tokens by chance"]
    assert found["image_encoder", "equal codes"] > 0.9
    assert 40 < found["mel_decoder", "lowest SNR, dB"] < 100
    assert 40 < found["vocoder", "lowest SNR, dB"] < 100


def test_int8_scales_are_measured_and_used(bundle: Bundle, tmp_path: Path) -> None:
    pictures = noise_pictures(bundle.manifest.image, 2)
    scales = measure_scales(bundle, pictures, tmp_path)
    assert len(scales) == 4  # of one layer: qkv, out, and two of the MLP
    assert all(0 < scale < 1 for scale in scales.values())
    model = engine_graph(bundle, "decode_audio", "int8", scales)
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    counts = [node.op_type for node in nodes_of(loop.attribute[0].g)]
    assert counts.count("QuantizeLinear") == 4
    stored = [t for t in model.graph.initializer if t.data_type == TensorProto.INT8 and t.dims]
    assert sum(len(tensor.dims) == 2 for tensor in stored) == 4
    folder = tmp_path / "engine"
    folder.mkdir()
    after = write_engine_bundle(bundle, folder, COMPARED, "int8", scales, is_emulated=True)
    effect = compare_bundles(bundle, after, pictures)
    found = {(check.graph, check.metric): check.value for check in effect}
    assert 1e-3 < found["logits_audio", "relative error"] < 0.1


def test_a_bundle_in_int8_alone_is_refused(bundle: Bundle) -> None:
    graphs = dict(bundle.manifest.graphs)
    graphs["decode_audio_step"] = dataclasses.replace(graphs["decode_audio_step"], precision="int8")
    manifest = dataclasses.replace(bundle.manifest, graphs=graphs)
    with pytest.raises(BundleError):
        engine_graph(dataclasses.replace(bundle, manifest=manifest), "decode_audio", "fp16")


def test_a_graph_that_is_not_there_is_said(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no graph sing"):
        write_engine_bundle(bundle, tmp_path, ["sing"], "fp16")
