"""The picture codec with a teacher exports to today's graphs of pictures."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from echoes_export.bundle.models import Models, random_models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, rounded, write_weights
from echoes_export.graphs.onnx_graph import export_graph
from echoes_export.graphs.wrappers import graph_parts
from echoes_export.verify import MAX_DIFFERENCE, MIN_EQUAL_CODES, noise_inputs
from echoes_rt.backends.onnx import OnnxSession
from echoes_training.presets import PRESETS

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def models() -> Models:
    return rounded(random_models(PRESETS["edge-tiny"], seed=0), "fp16")


def test_graphs_compute_what_torch_does(models: Models, tmp_path: Path) -> None:
    stored = write_weights(tmp_path / WEIGHTS_NAME, models, "fp16")
    parts = graph_parts(models)
    pictures = noise_inputs(models, 8, seed=1).image
    codes = parts["image_encoder"].module(pictures)
    assert codes.unique().numel() > 8
    answers = {}
    for name, question in (("image_encoder", pictures), ("image_decoder", codes)):
        path = tmp_path / f"{name}.onnx"
        part = parts[name]
        onnx.save(export_graph(name, part.module, part.signature, stored), path)
        (key,) = part.signature.inputs
        (answers[name],) = OnnxSession(path, "cpu").run({key: question.numpy()}).values()
    assert (answers["image_encoder"] == codes.numpy()).mean() >= MIN_EQUAL_CODES
    decoded = parts["image_decoder"].module(codes).numpy()
    assert decoded.std() > 0.01
    np.testing.assert_allclose(answers["image_decoder"], decoded, atol=MAX_DIFFERENCE)
