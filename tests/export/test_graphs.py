"""Every graph has the signature of the spec and computes what torch computes."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from echoes_export import verify
from echoes_export.checks import table
from echoes_export.inputs import noise_inputs
from echoes_export.models import Models, random_models
from echoes_export.onnx_graph import FORBIDDEN, OPSET, export_graph
from echoes_export.precision import rounded
from echoes_export.weights_file import WEIGHTS_NAME, stored_tensors, write_weights
from echoes_export.wrappers import ImageEncoder, VocoderGraph
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.spec.graphs import GraphSpec, graph_specs
from echoes_training.presets import PRESETS

TINY = PRESETS["tiny"]
SPECS = graph_specs(TINY.image, TINY.mel, TINY.layout)
FUSED = ("decode", "decode_step", "image_to_audio")
"""What is made of the others; tests/runtime/test_fused.py says what they do."""


def tensors(values: list[onnx.ValueInfoProto]) -> dict[str, tuple[str, tuple[int | str, ...]]]:
    return {
        value.name: (
            str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
            tuple(dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim),
        )
        for value in values
    }


@pytest.mark.parametrize(("name", "spec"), SPECS.items())
def test_file_has_the_signature_of_the_spec(name: str, spec: GraphSpec, bundle_path: Path) -> None:
    graph = onnx.load(bundle_path / f"{name}.onnx", load_external_data=False).graph
    for values, specs in ((graph.input, spec.inputs), (graph.output, spec.outputs)):
        assert tensors(values) == {key: (t.dtype, t.shape) for key, t in specs.items()}


@pytest.mark.parametrize("name", SPECS)
def test_file_keeps_the_rules_of_graphs(name: str, bundle_path: Path) -> None:
    model = onnx.load(bundle_path / f"{name}.onnx", load_external_data=False)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert not {node.op_type for node in model.graph.node if node.op_type.startswith(FORBIDDEN)}
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    # What is not in the weights file is small: no weight is stored twice, no matrix of constants.
    inside = [w for w in model.graph.initializer if w.data_location != onnx.TensorProto.EXTERNAL]
    assert max(np.prod(tensor.dims) for tensor in inside) <= 2 * TINY.mel.n_fft


def test_every_trained_weight_is_read_by_a_graph(bundle_path: Path, models: Models) -> None:
    read = set()
    for name in SPECS:
        graph = onnx.load(bundle_path / f"{name}.onnx", load_external_data=False).graph
        for tensor in graph.initializer:
            read |= {tensor.name.removesuffix(".fp16")}
    trained = {
        f"{part}.{key}"
        for part, module in models.modules.items()
        for key, _ in module.named_parameters()
    }
    assert trained <= read
    assert trained <= stored_tensors(bundle_path / WEIGHTS_NAME).keys()


@pytest.mark.parametrize(("name", "spec"), [item for item in SPECS.items() if item[0] not in FUSED])
def test_batch_and_frames_are_free(name: str, spec: GraphSpec, bundle_path: Path) -> None:
    session = OnnxSession(bundle_path / f"{name}.onnx", spec, "cpu", threads=1)
    ((key, tensor),) = spec.inputs.items()
    rng = np.random.default_rng(0)
    for batch, frames in ((1, 5), (3, 40)):
        sizes = {"batch": batch, "frames": frames, "samples": frames * TINY.mel.hop_length}
        shape = [sizes.get(dim, dim) for dim in tensor.shape]
        values = rng.integers(0, 8, shape) if tensor.dtype == "int32" else rng.normal(size=shape)
        together = session.run({key: values.astype(tensor.dtype)})
        for name_out, out in spec.outputs.items():
            assert together[name_out].shape == tuple(sizes.get(dim, dim) for dim in out.shape)
            assert np.isfinite(together[name_out]).all()
        # Members of a batch do not see each other.
        last = session.run({key: values[-1:].astype(tensor.dtype)})
        for name_out in spec.outputs:
            np.testing.assert_allclose(together[name_out][-1:], last[name_out], atol=1e-5)


def test_committed_tiny_bundle_computes_what_its_weights_say(tiny_bundle: Path) -> None:
    models = random_models(TINY, seed=0)
    stored = load_file(tiny_bundle / WEIGHTS_NAME)
    for part, module in models.modules.items():
        prefix = f"{part}."
        weights = {k.removeprefix(prefix): t for k, t in stored.items() if k.startswith(prefix)}
        module.load_state_dict(weights)
    checks = verify.verify_bundle(Bundle.open(tiny_bundle), models, noise_inputs(models, 9, seed=1))
    assert [check.graph for check in checks] == list(SPECS)
    assert all(check.is_ok for check in checks), table(checks)
    assert sum(path.stat().st_size for path in tiny_bundle.iterdir()) < 320_000


def test_verification_sees_a_wrong_graph(bundle_path: Path) -> None:
    others = rounded(random_models(TINY, seed=5), "fp16")
    checks = verify.verify_bundle(Bundle.open(bundle_path), others, noise_inputs(others, 3, seed=1))
    # The fused graphs are held against the bundle's own.
    assert {check.graph for check in checks if check.is_ok} == {*FUSED}, table(checks)


def test_inverse_dft_of_the_graph_is_the_vocoders(models: Models) -> None:
    graph = VocoderGraph(models.vocoder, models.mel)
    torch.testing.assert_close(graph.basis(), models.vocoder.head.basis, rtol=1e-6, atol=1e-9)


def test_attention_and_fp32_weights_export_too(tmp_path: Path) -> None:
    """The published codecs attend and start with a plain convolution; the tiny one does neither."""
    codec = dataclasses.replace(
        TINY.image_vqgan.model, stem=1, channels=(6,), decoder_channels=(6,), attention=True
    )
    image = dataclasses.replace(TINY.image, height=4, width=4)
    stage = dataclasses.replace(TINY.image_vqgan, model=codec, image=image)
    models = random_models(dataclasses.replace(TINY, image=image, image_vqgan=stage), seed=0)
    spec = graph_specs(models.image, models.mel, models.layout)["image_encoder"]
    stored = write_weights(tmp_path / WEIGHTS_NAME, models, "fp32")
    assert {tensor.dtype for tensor in stored.values()} == {"F32", "I64"}
    module = ImageEncoder(models.image_vqgan).eval()
    path = tmp_path / "image_encoder.onnx"
    onnx.save(export_graph("image_encoder", module, spec, stored), path)
    pixels = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    codes = OnnxSession(path, spec, "cpu", 1).run({"image": pixels.numpy()})["codes"]
    np.testing.assert_array_equal(codes, module(pixels).numpy())


def test_weight_beyond_fp16_is_named(models: Models) -> None:
    from echoes_rt.errors import InputError

    large = models.copy()
    large.vocoder.embed.weight[0, 0, 0] = 1e5
    with pytest.raises(InputError, match=r"weight vocoder\.embed\.weight is not finite in fp16"):
        rounded(large, "fp16")
    assert torch.equal(rounded(large, "fp32").vocoder.embed.weight, large.vocoder.embed.weight)
