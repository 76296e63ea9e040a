"""The published networks, shrunk, as graphs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from tests.training.test_published import small_melgan

from echoes_export.bundle.models import Models, random_models
from echoes_export.bundle.run_models import Runs, load_models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, write_weights
from echoes_export.graphs.onnx_graph import export_graph
from echoes_export.graphs.wrappers import graph_parts
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.format.tokens import Grid
from echoes_training.models.melgan import MelGAN
from echoes_training.models.vocoder import VocoderConfig
from echoes_training.presets import PRESETS
from echoes_training.published import layouts
from echoes_training.published.command import import_checkpoint

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def published() -> Models:
    """MaskGIT's codec for 8 x 8 pictures and MelGAN."""
    image = replace(TINY.image, height=8, width=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    shape = replace(
        PRESETS["base"].image_codec.model,
        channels=(4, 6),
        decoder_channels=(4, 6),
        res_blocks=1,
        attention=False,
        codebook_size=32,
        codebook_dim=4,
        variant="maskgit",
    )
    layout = replace(TINY.layout, image=Grid(height=4, width=4, codebook_size=32))
    vocoder = VocoderConfig(architecture="melgan", width=2, layers=2, ratios=(8, 4, 2))
    preset = replace(
        TINY,
        image=image,
        layout=layout,
        image_codec=replace(TINY.image_codec, model=shape, image=image),
        vocoder=replace(TINY.vocoder, model=vocoder),
    )
    return random_models(preset, seed=0)


def test_imported_vocoder_joins_trained_models(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, tensors = small_melgan()
    monkeypatch.setitem(layouts.LAYOUTS, "melgan", layout)
    save_file(tensors, tmp_path / "melgan.safetensors")
    import_checkpoint("melgan", tmp_path / "melgan.safetensors", tmp_path / "run")
    models = load_models(Runs(**{**runs, "vocoder": tmp_path / "run"}))
    assert isinstance(models.vocoder, MelGAN)
    assert models.configs["vocoder"]["ratios"] == (8, 4, 2)
    assert "vocoder.conv_in.weight" in write_weights(tmp_path / WEIGHTS_NAME, models, "fp16")


@pytest.mark.parametrize("name", ["image_encoder", "image_decoder", "vocoder"])
def test_graph_computes_what_torch_computes(name: str, published: Models, tmp_path: Path) -> None:
    part = graph_parts(published)[name]
    spec, module = part.signature, part.module
    stored = write_weights(tmp_path / WEIGHTS_NAME, published, "fp32")
    onnx.save(export_graph(name, module, spec, stored), tmp_path / "graph.onnx")
    session = OnnxSession(tmp_path / "graph.onnx", "cpu")
    ((key, tensor),) = spec.inputs.items()
    rng = np.random.default_rng(0)
    for batch, frames in ((1, 5), (3, 40)):
        sizes = {"batch": batch, "frames": frames}
        shape = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in tensor.shape]
        x = rng.integers(0, 32, shape) if tensor.dtype == "int32" else rng.random(shape)
        x = x.astype(tensor.dtype)
        (made,) = session.run({key: x}).values()
        expected = module(torch.from_numpy(x)).numpy()
        assert made.std() > 0
        np.testing.assert_allclose(made, expected, atol=1e-5)
