"""Every graph is what the format says and computes what torch computes."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from safetensors.torch import load_file

from echoes_export import verify
from echoes_export.bundle.about import About
from echoes_export.bundle.models import Models, random_models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, rounded, stored_tensors, write_weights
from echoes_export.bundle.write import write_bundle
from echoes_export.graphs.nodes import signature_of
from echoes_export.graphs.onnx_graph import FORBIDDEN, OPSET, export_graph
from echoes_export.graphs.wrappers import Part, VocoderGraph, graph_parts
from echoes_export.verify import noise_inputs
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import table
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import MEDIA
from echoes_rt.model import Model
from echoes_training.presets import PRESETS

TINY = PRESETS["tiny"]
DECODING = tuple(
    name
    for medium in MEDIA
    for name in (f"logits_{medium}", f"decode_{medium}_step", f"decode_{medium}")
)


@pytest.fixture(scope="module")
def parts(models: Models) -> dict[str, Part]:
    return graph_parts(models)


def loaded(bundle_path: Path) -> dict[str, onnx.ModelProto]:
    return {
        path.stem: onnx.load(path, load_external_data=False) for path in bundle_path.glob("*.onnx")
    }


def test_graphs_are_those_of_the_format(bundle_path: Path, parts: dict[str, Part]) -> None:
    graphs = loaded(bundle_path)
    assert graphs.keys() == parts.keys() | {*DECODING, "confidence"}
    for name, part in parts.items():
        assert signature_of(graphs[name]) == part.signature


def test_files_keep_the_rules_of_graphs(bundle_path: Path) -> None:
    for name, model in loaded(bundle_path).items():
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
        nodes = [*model.graph.node]
        for node in model.graph.node:
            nodes += [inner for a in node.attribute if a.HasField("g") for inner in a.g.node]
        operators = {node.op_type for node in nodes}
        assert not {op for op in operators if op.startswith((*FORBIDDEN, "Bitwise", "NonZero"))}
        flow = {"decode_image", "decode_audio"}
        assert ("Loop" in operators) == (name in flow)
        assert not operators & {"If", "Scan", "TopK"}
        assert {node.domain for node in nodes} == {""}
        assert not model.functions
        # What is not in the weights file is small: no weight is stored twice.
        inside = [w for w in model.graph.initializer if w.data_location != TensorProto.EXTERNAL]
        # The filters of log_mel and the vocoder's random phases have a number for band and bin.
        bands = TINY.mel.n_mels if name in ("log_mel", "vocoder") else 1
        most = max(TINY.mel.n_fft, bands * (TINY.mel.n_fft // 2 + 1))
        assert max([np.prod(tensor.dims) for tensor in inside], default=0) <= most, name


def test_every_trained_weight_is_read_by_a_graph(bundle_path: Path, models: Models) -> None:
    read = {
        tensor.name.removesuffix(".fp16")
        for model in loaded(bundle_path).values()
        for tensor in model.graph.initializer
    }
    trained = {
        f"{part}.{key}"
        for part, module in models.modules.items()
        for key, _ in module.named_parameters()
    }
    assert trained <= read
    assert trained <= stored_tensors(bundle_path / WEIGHTS_NAME).keys()


def test_batch_and_frames_are_free(bundle_path: Path, parts: dict[str, Part]) -> None:
    rng = np.random.default_rng(0)
    for name, part in parts.items():
        session = OnnxSession(bundle_path / f"{name}.onnx", "cpu")
        ((key, tensor),) = part.signature.inputs.items()
        assert session.inputs == part.signature.inputs
        for batch, frames in ((1, 5), (3, 40)):
            sizes = {"batch": batch, "frames": frames, "samples": frames * TINY.mel.hop_length}
            shape = [sizes.get(dim, dim) for dim in tensor.shape]
            is_codes = tensor.dtype == "int32"
            values = rng.integers(0, 8, shape) if is_codes else rng.normal(size=shape)
            together = session.run({key: values.astype(tensor.dtype)})
            for name_out, out in part.signature.outputs.items():
                assert together[name_out].shape == tuple(sizes.get(dim, dim) for dim in out.shape)
                assert np.isfinite(together[name_out]).all()
            # Members of a batch do not see each other.
            last = session.run({key: values[-1:].astype(tensor.dtype)})
            for name_out in part.signature.outputs:
                np.testing.assert_allclose(together[name_out][-1:], last[name_out], atol=1e-5)


def test_committed_tiny_bundle_computes_what_its_weights_say(tiny_bundle: Path) -> None:
    models = random_models(TINY, seed=0)
    stored = load_file(tiny_bundle / WEIGHTS_NAME)
    for part, module in models.modules.items():
        prefix = f"{part}."
        weights = {k.removeprefix(prefix): t for k, t in stored.items() if k.startswith(prefix)}
        module.load_state_dict(weights)
    checks = verify.verify_bundle(Bundle.open(tiny_bundle), models, noise_inputs(models, 9, seed=1))
    assert {check.graph for check in checks} == {path.stem for path in tiny_bundle.glob("*.onnx")}
    assert all(check.is_ok for check in checks), table(checks)
    assert sum(path.stat().st_size for path in tiny_bundle.iterdir()) < 320_000


def test_verification_sees_a_wrong_graph(bundle_path: Path) -> None:
    others = rounded(random_models(TINY, seed=5), "fp16")
    checks = verify.verify_bundle(Bundle.open(bundle_path), others, noise_inputs(others, 3, seed=1))
    wrong = {check.graph for check in checks if not check.is_ok}
    # The loops are held against the bundle's own logits, and the mel has no weights.
    loops = {name for name in DECODING if not name.startswith("logits")}
    assert wrong == {check.graph for check in checks} - loops - {"log_mel"}, table(checks)


def test_verification_sees_a_wrong_sampler(
    bundle_path: Path, models: Models, tmp_path: Path
) -> None:
    folder = shutil.copytree(bundle_path, tmp_path / "bundle")
    path = folder / "decode_audio_step.onnx"
    model = onnx.load(path, load_external_data=False)
    sums = [node for node in model.graph.node if node.op_type == "CumSum" and node.attribute]
    for node in sums:
        del node.attribute[:]
    assert sums
    onnx.save(model, path)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["graphs"][path.stem] |= {"sha256": digest, "size_bytes": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    bundle = Bundle.open(folder)
    stored = rounded(models, "fp16")
    checks = verify.verify_bundle(bundle, stored, noise_inputs(stored, 2, seed=1))
    assert {check.graph for check in checks if not check.is_ok} == {"decode_audio_step"}


def test_inverse_dft_of_the_graph_is_the_vocoders(models: Models) -> None:
    graph = VocoderGraph(models.vocoder, models.mel)
    for name, basis in graph.bases().items():
        torch.testing.assert_close(basis, models.vocoder.get_buffer(name), rtol=1e-6, atol=1e-9)


def test_attention_and_fp32_weights_export_too(tmp_path: Path) -> None:
    """The published codecs attend and start with a plain convolution; the tiny one does neither."""
    codec = dataclasses.replace(
        TINY.image_codec.model, stem=1, channels=(6,), decoder_channels=(6,), attention=True
    )
    image = dataclasses.replace(TINY.image, height=4, width=4)
    stage = dataclasses.replace(TINY.image_codec, model=codec, image=image)
    models = random_models(dataclasses.replace(TINY, image=image, image_codec=stage), seed=0)
    part = graph_parts(models)["image_encoder"]
    stored = write_weights(tmp_path / WEIGHTS_NAME, models, "fp32")
    assert {tensor.dtype for tensor in stored.values()} == {"F32", "I64"}
    path = tmp_path / "image_encoder.onnx"
    onnx.save(export_graph("image_encoder", part.module, part.signature, stored), path)
    pixels = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    codes = OnnxSession(path, "cpu").run({"image": pixels.numpy()})["codes"]
    np.testing.assert_array_equal(codes, part.module(pixels).numpy())


@pytest.fixture(scope="module")
def drawing() -> Models:
    """With a mel decoder that takes noise."""
    return rounded(random_models(PRESETS["edge-tiny"], seed=0), "fp16")


def test_bundle_with_a_decoder_that_draws_is_verified_and_follows_seeds(
    drawing: Models, tmp_path: Path
) -> None:
    about = About(
        name="draws", created_by="a test", description="", labels={}, sampling=Sampling(steps=2)
    )
    write_bundle(tmp_path / "b", drawing, about, weights="fp16", accept=lambda _: None)
    bundle = Bundle.open(tmp_path / "b")
    checks = verify.verify_bundle(bundle, drawing, noise_inputs(drawing, 2, seed=1))
    assert all(check.is_ok for check in checks), table(checks)
    model = Model.load(bundle, device="cpu", threads=1)
    codes = np.zeros((3, drawing.layout.audio.n_tokens), dtype=np.int32)
    one, again, other = model.decode_mel(codes, seeds=(1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(other - one).max() > 1e-3


def test_a_decoder_that_draws_takes_noise_of_a_fixed_shape(drawing: Models, tmp_path: Path) -> None:
    models, grid = drawing, drawing.layout.audio
    part = graph_parts(models)["mel_decoder"]
    noise = part.signature.inputs["noise"].shape
    assert noise[0] == "batch"
    assert all(isinstance(dim, int) for dim in noise[1:])
    stored = write_weights(tmp_path / WEIGHTS_NAME, models, "fp16")
    path = tmp_path / "mel_decoder.onnx"
    onnx.save(export_graph("mel_decoder", part.module, part.signature, stored), path)
    session = OnnxSession(path, "cpu")
    assert session.inputs == part.signature.inputs
    rng = np.random.default_rng(0)
    codes = rng.integers(0, grid.codebook_size, (3, grid.n_tokens), dtype=np.int32)
    drawn = rng.random((3, *noise[1:]), dtype=np.float32)
    made = session.run({"codes": codes, "noise": drawn})["mel"]
    expected = part.module(torch.from_numpy(codes), torch.from_numpy(drawn)).numpy()
    np.testing.assert_allclose(made, expected, atol=1e-4)
    other = session.run({"codes": codes, "noise": 1 - drawn})["mel"]
    assert np.abs(other - made).max() > 1e-3


def test_weight_beyond_fp16_is_named(models: Models) -> None:
    from echoes_rt.errors import InputError

    large = models.copy()
    large.vocoder.embed.weight[0, 0, 0] = 1e5
    with pytest.raises(InputError, match=r"weight vocoder\.embed\.weight is not finite in fp16"):
        rounded(large, "fp16")
    assert torch.equal(rounded(large, "fp32").vocoder.embed.weight, large.vocoder.embed.weight)
