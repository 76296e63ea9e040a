"""Measures on real pictures what an int8 product of the transformer is given."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from echoes_export.tensorrt.qdq_graph import LEVELS, Scales, constant_factors
from echoes_rt.backends.base import Arrays
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import Array
from echoes_rt.decode import steps
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import make_plan
from echoes_rt.model import Model

_SHARE = 99.99
"""Per cent of the values that keep their size: room for the largest would cost all others."""


def measure_scales(bundle: Bundle, pictures: list[Array], work: Path) -> Scales:
    """Decodes the sound of each picture in ONNX Runtime, both branches, all steps.

    Args:
        bundle: to quantize.
        pictures: (H, W, 3) uint8, of any size.
        work: a folder for a graph that tells what its products are given.
    """
    session = _Watched(bundle, work)
    engine = Model.load(bundle, device="cpu")
    grid, sampling = bundle.manifest.tokens.audio, bundle.manifest.sampling
    tokens = np.full((1, grid.n_tokens), grid.mask_token, dtype=np.int32)
    plan = make_plan(tokens == grid.mask_token, grid.order, sampling)
    for seed, picture in enumerate(pictures):
        seen = engine.context("audio", engine.encode_image(picture))
        steps.decode(session, tokens, seen, plan, uniforms([seed], 0, grid.n_tokens))
    return {weight: max(size, 1e-6) / LEVELS for weight, size in session.largest.items()}


class _Watched(OnnxSession):
    """Graph ``decode_audio_step`` that gives, behind its tokens, what each product is given."""

    def __init__(self, bundle: Bundle, work: Path) -> None:
        model = onnx.load(bundle.graph_path("decode_audio_step"), load_external_data=True)
        self.weights = []
        for node, matrix in constant_factors(model.graph):
            given = helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, None)
            model.graph.output.append(given)
            self.weights.append(matrix.weight)
        onnx.save(model, work / "watched.onnx")
        super().__init__(work / "watched.onnx", "cpu")
        self.largest: dict[str, float] = defaultdict(float)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        outputs = super().run(inputs)
        _, *given = outputs.values()
        for weight, values in zip(self.weights, given, strict=True):
            size = float(np.percentile(np.abs(values), _SHARE))
            self.largest[weight] = max(self.largest[weight], size)
        return outputs
