"""A transformer that does not look at a wholly unknown medium exports like any other."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from echoes_export.models import random_models
from echoes_export.onnx_graph import export_graph
from echoes_export.weights_file import WEIGHTS_NAME, write_weights
from echoes_export.wrappers import Step
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.spec.graphs import graph_specs
from echoes_training.presets import PRESETS

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> tuple[Step, OnnxSession]:
    folder = tmp_path_factory.mktemp("absent")
    model = dataclasses.replace(TINY.transformer.model, unknown_medium="absent")
    stage = dataclasses.replace(TINY.transformer, model=model)
    models = random_models(dataclasses.replace(TINY, transformer=stage), seed=0)
    spec = graph_specs(models.image, models.mel, models.layout)["step"]
    stored = write_weights(folder / WEIGHTS_NAME, models, "fp32")
    module = Step(models.transformer).eval()
    onnx.save(export_graph("step", module, spec, stored), folder / "step.onnx")
    return module, OnnxSession(folder / "step.onnx", spec, "cpu", 1)


@pytest.mark.parametrize("known", ["image", "audio", "both", "none"])
def test_step_graph_of_an_absent_medium(known: str, step: tuple[Step, OnnxSession]) -> None:
    module, session = step
    layout = TINY.layout
    tokens = torch.randint(0, 32, (3, layout.n_tokens), generator=torch.Generator().manual_seed(0))
    if known in ("audio", "none"):
        tokens[:, layout.image_slice] = layout.mask_token_id
    if known in ("image", "none"):
        tokens[:, layout.audio_slice] = layout.mask_token_id
    tokens = tokens.to(torch.int32)
    with torch.no_grad():
        wanted = module(tokens)
    got = session.run({"tokens": tokens.numpy()})["logits"]
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)
