"""Measures on real pictures what an int8 product of the transformer is given."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from echoes_export.checks import Array
from echoes_export.qdq_graph import LEVELS, Scales, constant_factors
from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.bundle import Bundle
from echoes_rt.decode import reference
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import known_media, make_plan
from echoes_rt.engine import Engine

_SHARE = 99.99
"""Per cent of the values that keep their size: room for the largest would cost all others."""


def measure_scales(bundle: Bundle, pictures: list[Array], work: Path) -> Scales:
    """Decodes the sound of each picture in ONNX Runtime, both branches, all steps.

    Args:
        bundle: to quantize.
        pictures: (H, W, 3) uint8, of any size.
        work: a folder for a graph that tells what its products are given.
    """
    session, watched = _watched_step(bundle, work)
    engine = Engine.load(bundle, device="cpu")
    layout, sampling = bundle.manifest.tokens, bundle.manifest.sampling
    largest: dict[str, float] = defaultdict(float)

    def logits(tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        scores, *given = session.run(None, {"tokens": tokens})
        for weight, values in zip(watched, given, strict=True):
            size = float(np.percentile(np.abs(values), _SHARE))
            largest[weight] = max(largest[weight], size)
        return np.asarray(scores)

    for seed, picture in enumerate(pictures):
        tokens = np.full((1, layout.n_tokens), layout.mask_token_id, dtype=np.int32)
        tokens[:, layout.image_slice] = engine.encode_image(picture)
        mask = tokens == layout.mask_token_id
        plan = make_plan(mask, sampling)
        reference.decode(
            logits,
            tokens,
            mask,
            plan,
            uniforms([seed], plan.steps, layout.n_tokens),
            condition=known_media(mask, layout),
            mask_token_id=layout.mask_token_id,
        )
    return {weight: max(size, 1e-6) / LEVELS for weight, size in largest.items()}


def _watched_step(bundle: Bundle, work: Path) -> tuple[Any, list[str]]:
    """Graph ``step`` that gives, behind the logits, what each product is given; and the weights."""
    onnxruntime = import_onnxruntime()
    path = bundle.graph_path("step")
    model = onnx.load(path, load_external_data=True)
    watched = []
    for node, matrix in constant_factors(model.graph):
        given = helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, None)
        model.graph.output.append(given)
        watched.append(matrix.weight)
    onnx.save(model, work / "watched.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        work / "watched.onnx", options, providers=["CPUExecutionProvider"]
    )
    return session, watched
