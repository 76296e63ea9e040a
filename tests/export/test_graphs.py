"""Every graph is what the format says and computes what torch computes."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from safetensors.torch import load_file
from tests.training.test_published import small_codec

from echoes_export import verify
from echoes_export.bundle.about import About
from echoes_export.bundle.models import Models, random_models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, rounded, stored_tensors
from echoes_export.bundle.write import write_bundle
from echoes_export.graphs.nodes import signature_of
from echoes_export.graphs.onnx_graph import FORBIDDEN, OPSET
from echoes_export.graphs.wrappers import Part, graph_parts
from echoes_export.verify import noise_inputs
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import table
from echoes_rt.errors import InputError
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import MEDIA
from echoes_rt.model import Model
from echoes_training.models.vocoder import VocoderConfig
from echoes_training.models.vqgan import VQGANConfig
from echoes_training.presets import PRESETS, Preset

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


def drawing() -> Preset:
    """A picture codec with a teacher, and a mel decoder that takes noise."""
    return PRESETS["edge-tiny"]


def published() -> Preset:
    """MaskGIT's codec and MelGAN, shrunk."""
    codec = replace(small_codec("maskgit").model, codebook_size=32)
    vocoder = VocoderConfig(architecture="melgan", width=2, layers=2, ratios=(8, 4, 2))
    preset = replace(TINY, vocoder=replace(TINY.vocoder, model=vocoder))
    return with_pictures(preset, codec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), size=8)


def attending() -> Preset:
    """Taming's codec attends and starts with a plain convolution; the tiny one does neither."""
    codec = replace(
        TINY.image_codec.model, stem=1, channels=(6,), decoder_channels=(6,), attention=True
    )
    return with_pictures(TINY, codec, size=4)


def with_pictures(preset: Preset, codec: VQGANConfig, size: int, **values: Any) -> Preset:
    image = replace(preset.image, height=size, width=size, **values)
    return replace(
        preset, image=image, image_codec=replace(preset.image_codec, model=codec, image=image)
    )


@pytest.mark.parametrize(
    ("make", "weights"), [(drawing, "fp16"), (published, "fp32"), (attending, "fp32")]
)
def test_bundle_of_other_networks_is_verified(
    make: Callable[[], Preset], weights: str, tmp_path: Path
) -> None:
    models = rounded(random_models(make(), seed=0), weights)
    about = About(
        name="other", created_by="a test", description="", labels={}, sampling=Sampling(steps=2)
    )
    write_bundle(tmp_path / "b", models, about, weights=weights, accept=lambda _: None)
    bundle = Bundle.open(tmp_path / "b")
    checks = verify.verify_bundle(bundle, models, noise_inputs(models, 4, seed=1))
    assert all(check.is_ok for check in checks), table(checks)
    model = Model.load(bundle, device="cpu", threads=1)
    codes = np.zeros((3, models.layout.audio.n_tokens), dtype=np.int32)
    one, again, other = model.decode_mel(codes, seeds=(1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (np.abs(other - one).max() > 1e-3) == (make is drawing)


def test_weight_beyond_fp16_is_named(models: Models) -> None:
    large = models.copy()
    large.vocoder.embed.weight[0, 0, 0] = 1e5
    with pytest.raises(InputError, match=r"weight vocoder\.embed\.weight is not finite in fp16"):
        rounded(large, "fp16")
    assert torch.equal(rounded(large, "fp32").vocoder.embed.weight, large.vocoder.embed.weight)
