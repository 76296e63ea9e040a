"""The graphs that decode, of every form of the transformer, against torch and the reference."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from echoes_export.bundle.models import random_models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, write_weights
from echoes_export.graphs.decode_graphs import logits_graph, loop_graph, step_graph
from echoes_export.graphs.onnx_graph import export_graph
from echoes_export.graphs.wrappers import graph_parts, network_part
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.decode import reference, steps
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import make_plan
from echoes_rt.format.sampling import Sampling
from echoes_training.presets import PRESETS

TINY = PRESETS["tiny"]
MEMBERS = 4

SAMPLINGS = [
    Sampling(steps=1),
    Sampling(steps=5, guidance_scale=4.0, guidance_interval=(0.0, 0.5)),
    Sampling(steps=8, guidance_scale=1.0, temperature=0.7),
    Sampling(steps=3, guidance_scale=2.0, temperature=0.0),
]


@pytest.mark.parametrize(
    ("form", "group", "is_folded"),
    [("joint", 1, False), ("context", 2, False), ("context", 1, True)],
)
def test_a_form_decodes_as_torch_says(
    form: str, group: int, is_folded: bool, tmp_path: Path
) -> None:
    shape = dataclasses.replace(
        TINY.transformer.model, layers=2, form=form, image_group=group, audio_group=group
    )
    stage = dataclasses.replace(TINY.transformer, model=shape)
    models = random_models(dataclasses.replace(TINY, transformer=stage), seed=0)
    model, layout, grid = models.transformer, models.layout, models.layout.audio
    stored = write_weights(tmp_path / WEIGHTS_NAME, models, "fp32")
    part, context = network_part(models, "audio"), graph_parts(models)["context_image"]
    network = export_graph("network", part.module, part.signature, stored)
    step = step_graph("decode_audio_step", network, grid, is_folded=is_folded)
    for graph in (
        export_graph("context_image", context.module, context.signature, stored),
        logits_graph("logits_audio", network, grid),
        step,
        loop_graph("decode_audio", step),
    ):
        path = tmp_path / f"{graph.graph.name}.onnx"
        onnx.save(graph, path)
        onnx.checker.check_model(path, full_check=True)
    sessions = {path.stem: OnnxSession(path, "cpu") for path in tmp_path.glob("*.onnx")}
    for name in ("decode_audio", "decode_audio_step"):
        assert ("guidance_scale" in sessions[name].inputs) != is_folded

    rng = np.random.default_rng(0)
    images = rng.integers(0, 32, (MEMBERS, layout.image.n_tokens), dtype=np.int32)
    tokens = rng.integers(0, 32, (MEMBERS, grid.n_tokens), dtype=np.int32)
    tokens[rng.random(tokens.shape) < 0.6] = grid.mask_token
    tokens[0] = grid.mask_token
    seen = sessions["context_image"].run({"codes": images})["context"]

    @torch.no_grad()
    def logits_of(asked: NDArray[np.int32], has_context: bool) -> NDArray[np.float32]:
        given, sound = torch.from_numpy(images), torch.from_numpy(asked)
        if form == "context":
            context = model.context(given, "image") if has_context else None
            return np.asarray(model.logits(sound, "audio", context).numpy())
        given = given if has_context else torch.full_like(given, layout.mask_token_id)
        return np.asarray(model(torch.cat([given, sound], dim=1))[:, layout.audio_slice].numpy())

    for has_context in (True, False):
        rows = seen if has_context else seen[:0]
        logits = sessions["logits_audio"].run({"tokens": tokens, "context": rows})["logits"]
        np.testing.assert_allclose(logits, logits_of(tokens, has_context), atol=1e-4)
        for sampling in SAMPLINGS:
            if is_folded:
                sampling = dataclasses.replace(sampling, guidance_scale=1.0)
            plan = make_plan(tokens == grid.mask_token, grid.order, sampling)
            noise = uniforms(range(MEMBERS), 0, grid.n_tokens)
            expected = reference.decode(logits_of, tokens, plan, noise, has_context=has_context)
            for decode, name in (
                (steps.decode, "decode_audio_step"),
                (steps.decode_at_once, "decode_audio"),
            ):
                decoded = decode(sessions[name], tokens, rows, plan, noise)
                np.testing.assert_array_equal(decoded, expected, err_msg=f"{name} {sampling}")
