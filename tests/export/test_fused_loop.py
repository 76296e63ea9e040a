"""The Loop of the decode graph follows the golden traces; verification sees when it does not."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from echoes_export.fused_loop import decode_graph, scores_signature
from echoes_export.nodes import Nodes
from echoes_export.verify_fused import verify_fused
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.decode import fused
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import DecodePlan
from echoes_rt.spec.graphs import graph_specs
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.mel import MelSpec
from echoes_rt.spec.tokens import Grid, TokenLayout

LAYOUT = TokenLayout(
    image=Grid(height=4, width=4, codebook_size=16), audio=Grid(height=2, width=4, codebook_size=16)
)
"""Of the golden traces."""


def mock_scores(layout: TokenLayout) -> onnx.ModelProto:
    """The logits of the golden traces, docs/format.md, as a graph."""
    nodes = Nodes("mock.", {})
    n_tokens = nodes.constant(layout.n_tokens, "int64")
    odd = nodes.constant(2 * np.arange(layout.n_tokens) + 1, "int32")
    context = nodes("ReduceSum", nodes("Mul", "seen", odd), nodes.ints(1), keepdims=0)
    code = nodes.constant(np.arange(layout.vocab_size)[None], "int64")
    three, five, seven, nine = (nodes.constant(number, "int64") for number in (3, 5, 7, 9))
    for medium in ("image", "audio"):
        rows = f"{medium}_rows"
        member = nodes("Div", rows, n_tokens)
        position = nodes("Unsqueeze", nodes("Mod", rows, n_tokens), nodes.ints(1))
        seen = nodes(
            "Unsqueeze", nodes("Gather", nodes.cast(context, "int64"), member), nodes.ints(1)
        )
        crossed = nodes("Mul", three, nodes("Mul", position, code))
        terms = (nodes("Mul", seven, position), nodes("Mul", five, code), crossed, seen)
        total = terms[0]
        for term in terms[1:]:
            total = nodes("Add", total, term)
        score = nodes("Sub", nodes("Mod", total, nine), nodes.constant(4, "int64"))
        nodes("Cast", score, to=onnx.TensorProto.FLOAT, output=f"{medium}_logits")
    return nodes.model("scores", scores_signature(layout))


def test_golden_traces(golden: Callable[[str], Any], tmp_path: Path) -> None:
    signature = graph_specs(ImageSpec(), MelSpec(), LAYOUT)["decode"]
    path = tmp_path / "decode.onnx"
    onnx.save(decode_graph(mock_scores(LAYOUT), signature, LAYOUT), path)
    onnx.checker.check_model(path, full_check=True)
    session = OnnxSession(path, signature, "cpu", threads=1)
    for trace in golden("decode")["traces"]:
        tokens = np.array(trace["tokens"], dtype=np.int32)
        plan = DecodePlan(
            keep=np.array(trace["plan"]["keep"], dtype=np.int32),
            **{
                name: np.array(trace["plan"][name], dtype=np.float32)
                for name in ("temperature", "choice_temperature", "guidance_scale")
            },
        )
        decoded = fused.decode(
            session,
            tokens,
            tokens == trace["mask_token_id"],
            plan,
            uniforms(trace["seeds"], plan.steps, tokens.shape[1]),
            condition=np.array(trace["condition"], dtype=bool),
        )
        assert decoded.tolist() == trace["decoded"]


@pytest.fixture
def edited(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Bundle]:
    """The tiny bundle with an attribute of one operator of its Loop changed."""

    def edit(op_type: str, attribute: str, value: int) -> Bundle:
        bundle = Bundle.open(tiny_bundle)
        for name in bundle.manifest.files:
            (tmp_path / name).write_bytes((tiny_bundle / name).read_bytes())
        model = onnx.load(tmp_path / "decode.onnx", load_external_data=False)
        (loop,) = [node for node in model.graph.node if node.op_type == "Loop"]
        (node,) = [node for node in loop.attribute[0].g.node if node.op_type == op_type]
        (found,) = [item for item in node.attribute if item.name == attribute]
        found.i = value
        onnx.save(model, tmp_path / "decode.onnx")
        return dataclasses.replace(bundle, folder=tmp_path)

    return edit


def test_verification_sees_a_wrong_loop(edited: Callable[..., Bundle]) -> None:
    bundle = edited("TopK", "largest", 1)
    spec = bundle.manifest.image
    image = np.zeros((1, 3, spec.height, spec.width), dtype=np.float32)
    checks = {check.graph: check for check in verify_fused(bundle, image)}
    assert not checks["decode"].is_ok
    # The chain has a right loop inside and is held against the wrong one.
    assert not checks["image_to_audio"].is_ok


def test_verification_skips_what_a_bundle_lacks(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    manifest = dataclasses.replace(bundle.manifest, graphs={})
    assert verify_fused(dataclasses.replace(bundle, manifest=manifest), np.zeros(0)) == []
