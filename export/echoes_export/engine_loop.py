"""The whole decoding loop as TensorRT can build it: static shapes but for batch and steps.

It says what ``echoes_rt.decode.reference`` says, for every position, and throws away what was not
asked: TensorRT has no NonZero and no slices of a size that data decides. It has no float64 either,
so tokens are drawn in float32.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from echoes_export.fused_loop import any_true, split_fixed
from echoes_export.nodes import Nodes
from echoes_rt.decode.reference import LOGIT_FLOOR
from echoes_rt.spec.graphs import BATCH, GraphSpec
from echoes_rt.spec.tokens import TokenLayout


@dataclass(frozen=True, kw_only=True)
class _Outer:
    """What the body of the loop sees of the graph around it."""

    step: list[onnx.NodeProto]
    layout: TokenLayout
    mask_token: str
    has_condition: str


def engine_decode_graph(
    step: onnx.ModelProto, signature: GraphSpec, layout: TokenLayout
) -> onnx.ModelProto:
    """Wraps graph ``step`` into a Loop that runs as often as the plan has steps.

    A token is unknown where it is the mask token, so tokens are all that goes from step to step.
    """
    constants = {tensor.name: tensor for tensor in step.graph.initializer}
    nodes = Nodes("loop.", constants)
    fixed, varying = split_fixed(step.graph)
    nodes.splice(fixed, {})
    mask_token = nodes.constant(layout.mask_token_id, "int32")
    outer = _Outer(
        step=varying,
        layout=layout,
        mask_token=mask_token,
        has_condition=any_true(nodes, "condition"),
    )
    tokens = nodes("Where", "mask", mask_token, "tokens")
    steps = nodes("Squeeze", nodes.shape("keep", 0))
    (output,) = signature.outputs
    body = _body(outer, constants)
    nodes.nodes.append(helper.make_node("Loop", [steps, "", tokens], [output], body=body))
    return nodes.model("decode", signature)


def _body(outer: _Outer, constants: dict[str, onnx.TensorProto]) -> onnx.GraphProto:
    """(step, goes_on, tokens) -> (goes_on, tokens)."""
    nodes = Nodes("step.", constants)
    plan = {
        name: nodes("Gather", name, "step.index", axis=0)
        for name in ("keep", "temperature", "choice_temperature", "guidance_scale", "uniforms")
    }
    is_unknown = nodes("Equal", "step.tokens", outer.mask_token)
    logits = _guided_logits(nodes, outer, plan["guidance_scale"])
    to_draw, to_rank = (
        nodes("Gather", plan["uniforms"], nodes.constant(which, "int64"), axis=0)
        for which in range(2)
    )
    drawn, log_probs = _draw(nodes, outer.layout, logits, plan["temperature"], to_draw)
    gumbel = nodes("Neg", nodes("Log", nodes("Neg", nodes("Log", to_rank))))
    confidence = nodes("Add", log_probs, nodes("Mul", plan["choice_temperature"], gumbel))
    # Known tokens come last, and are not touched whatever their rank.
    confidence = nodes("Where", is_unknown, confidence, nodes.constant("inf", "float32"))
    is_least = nodes(
        "Less",
        _rank(nodes, confidence, outer.layout.n_tokens),
        nodes("Unsqueeze", plan["keep"], nodes.ints(1)),
    )
    filled = nodes("Where", is_least, outer.mask_token, drawn)
    nodes("Where", is_unknown, filled, "step.tokens", output="step.next_tokens")
    # Without a condition to enter by, TensorRT knows no step.enters to pass on.
    nodes("Identity", nodes.constant(True, "bool"), output="step.goes_on")
    shape: list[str | int | None] = [BATCH, outer.layout.n_tokens]
    return helper.make_graph(
        nodes.nodes,
        "step",
        [
            helper.make_tensor_value_info("step.index", TensorProto.INT64, []),
            helper.make_tensor_value_info("step.enters", TensorProto.BOOL, []),
            helper.make_tensor_value_info("step.tokens", TensorProto.INT32, shape),
        ],
        [
            helper.make_tensor_value_info("step.goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("step.next_tokens", TensorProto.INT32, shape),
        ],
    )


def _guided_logits(nodes: Nodes, outer: _Outer, scale: str) -> str:
    """(B, N, V); both branches run in every step, and the second may be ignored."""
    masked = nodes("Where", "condition", outer.mask_token, "step.tokens")
    both = nodes("Concat", "step.tokens", masked, axis=0)
    nodes.splice(outer.step, {"tokens": both})
    logits = nodes("Max", "logits", nodes.constant(LOGIT_FLOOR, "float32"))
    n_members = nodes.shape("step.tokens", 0)
    n_branches = nodes("Add", n_members, n_members)
    c = nodes.slice(logits, nodes.ints(0), n_members)
    u = nodes.slice(logits, n_members, n_branches)
    guided = nodes("Add", u, nodes("Mul", scale, nodes("Sub", c, u)))
    is_on = nodes("Not", nodes("Equal", scale, nodes.constant(1, "float32")))
    return nodes("Where", nodes("And", is_on, outer.has_condition), guided, c)


def _draw(
    nodes: Nodes, layout: TokenLayout, logits: str, temperature: str, uniforms: str
) -> tuple[str, str]:
    """``reference.draw`` for (B, N, V) logits and (B, N) uniforms, in float32."""
    last, vocab_size = nodes.ints(-1), layout.vocab_size
    below_best = nodes("Sub", logits, nodes("ReduceMax", logits, last))
    total = nodes("ReduceSum", nodes("Exp", below_best), last, keepdims=0)
    is_cold = nodes("Equal", temperature, nodes.constant(0, "float32"))
    divisor = nodes("Where", is_cold, nodes.constant(1, "float32"), temperature)
    cumulative = _cumulative(nodes, nodes("Exp", nodes("Div", below_best, divisor)), layout)
    end = nodes("Gather", cumulative, nodes.constant(-1, "int64"), axis=2)
    threshold = nodes("Unsqueeze", nodes("Mul", uniforms, end), last)
    # The first token whose sum reaches the threshold has as many before it as fall short.
    short = nodes.cast(nodes("Less", cumulative, threshold), "int32")
    drawn = nodes("ReduceSum", short, last, keepdims=0)
    # Likewise the best: TensorRT promises nothing about which of equals its ArgMax takes.
    is_best = nodes("Equal", below_best, nodes.constant(0, "float32"))
    codes = nodes.constant(np.arange(vocab_size), "int32")
    beyond = nodes.constant(vocab_size, "int32")
    greedy = nodes("ReduceMin", nodes("Where", is_best, codes, beyond), last, keepdims=0)
    # Sums of different parts may differ in the last bit; it never leads out of the codebook.
    drawn = nodes("Min", nodes("Where", is_cold, greedy, drawn), _last_codes(nodes, layout))
    chosen = nodes("GatherElements", below_best, nodes("Unsqueeze", drawn, last), axis=2)
    return drawn, nodes("Sub", nodes("Squeeze", chosen, last), nodes("Log", total))


def _last_codes(nodes: Nodes, layout: TokenLayout) -> str:
    """(N,), the highest code of each position's medium."""
    codes = [grid.codebook_size - 1 for grid in (layout.image, layout.audio)]
    counts = (layout.image.n_tokens, layout.audio.n_tokens)
    return nodes.constant(np.repeat(codes, counts), "int32")


def _cumulative(nodes: Nodes, weights: str, layout: TokenLayout) -> str:
    """Sums from the first code to each, over (B, N, V), with zeros up to the next square.

    In blocks, and of the blocks before: TensorRT before 10.11 runs CumSum as a loop over what it
    sums, and two short sums round less than a long one. Products with triangles of ones would do
    as well, but TensorRT-RTX has no float32 products for SM 75.
    """
    block = math.isqrt(layout.vocab_size - 1) + 1
    padding = nodes.ints(0, 0, 0, 0, 0, block * block - layout.vocab_size)
    zero = nodes.constant(0, "float32")
    square = nodes.ints(0, layout.n_tokens, block, block)
    blocks = nodes("Reshape", nodes("Pad", weights, padding, zero), square)
    inside = nodes("CumSum", blocks, nodes.constant(3, "int64"))
    ends = nodes("Gather", inside, nodes.constant(-1, "int64"), axis=3)
    before = nodes("CumSum", ends, nodes.constant(2, "int64"), exclusive=1)
    sums = nodes("Add", inside, nodes("Unsqueeze", before, nodes.ints(-1)))
    return nodes("Reshape", sums, nodes.ints(0, layout.n_tokens, block * block))


def _rank(nodes: Nodes, values: str, count: int) -> str:
    """How many of (B, N) come before each: the smaller ones, and of equals the earlier."""
    mine, other = (nodes("Unsqueeze", values, nodes.ints(axis)) for axis in (2, 1))
    earlier = nodes.constant(np.tri(count, k=-1)[None], "bool")
    is_tied = nodes("And", nodes("Equal", other, mine), earlier)
    is_before = nodes("Or", nodes("Less", other, mine), is_tied)
    return nodes("ReduceSum", nodes.cast(is_before, "int32"), nodes.ints(2), keepdims=0)
