"""One step of the decoding loop, sampling included, as a graph without control flow.

For ONNX Runtime's GPUs, which neither record a Loop nor run one without copies to the host: all
positions are computed in every step, and what was known stays.
"""

import onnx

from echoes_export.nodes import Nodes
from echoes_rt.decode.reference import LOGIT_FLOOR, REAL
from echoes_rt.spec.graphs import GraphSpec
from echoes_rt.spec.tokens import TokenLayout

_REAL = REAL.__name__


def decode_step_graph(
    step: onnx.ModelProto, signature: GraphSpec, layout: TokenLayout
) -> onnx.ModelProto:
    """Graph ``step`` and, behind it, what ``echoes_rt.decode.reference`` does in one step."""
    constants = {tensor.name: tensor for tensor in step.graph.initializer}
    nodes = Nodes("tail.", constants)
    mask_token = nodes.constant(layout.mask_token_id, "int32")
    logits = _guided_logits(nodes, step, mask_token)
    to_draw, to_rank = (nodes.cast(_part(nodes, "uniforms", which), _REAL) for which in range(2))
    temperature, choice_temperature = (
        nodes.cast(name, _REAL) for name in ("temperature", "choice_temperature")
    )
    drawn, log_probs = _draw(nodes, logits, temperature, to_draw)
    gumbel = nodes("Neg", nodes("Log", nodes("Neg", nodes("Log", to_rank))))
    confidence = nodes("Add", log_probs, nodes("Mul", choice_temperature, gumbel))
    is_unknown = nodes("Equal", "tokens", mask_token)
    # Known tokens come last, and are not touched whatever their rank.
    infinite = nodes.constant("inf", "float32")
    confidence = nodes("Where", is_unknown, nodes.cast(confidence, "float32"), infinite)
    keep = nodes("Reshape", "keep", nodes.ints(-1, 1))
    is_least = nodes("Less", _rank(nodes, confidence, layout.n_tokens), keep)
    filled = nodes("Where", is_least, mask_token, drawn)
    (output,) = signature.outputs
    nodes("Where", is_unknown, filled, "tokens", output=output)
    return nodes.model("decode_step", signature)


def _guided_logits(nodes: Nodes, step: onnx.ModelProto, mask_token: str) -> str:
    """(B, N, V); without rows of ``condition`` there is no second branch: u + s (c - u) is c."""
    begin, n_members = nodes.ints(0), nodes.shape("tokens", 0)
    asked = nodes.slice("tokens", begin, nodes.shape("condition", 0))
    masked = nodes("Where", "condition", mask_token, asked)
    both = nodes("Concat", "tokens", masked, axis=0)
    nodes.splice(step.graph.node, {"tokens": both})
    logits = nodes("Max", "logits", nodes.constant(LOGIT_FLOOR, "float32"))
    total = nodes.shape(both, 0)
    c = nodes.slice(logits, begin, n_members)
    u = nodes.slice(logits, nodes("Sub", total, n_members), total)
    return nodes("Add", u, nodes("Mul", "guidance_scale", nodes("Sub", c, u)))


def _part(nodes: Nodes, uniforms: str, which: int) -> str:
    """(B, N) of the (1, 2, B, N) uniforms."""
    step = nodes("Squeeze", uniforms, nodes.ints(0))
    return nodes("Gather", step, nodes.constant(which, "int64"), axis=0)


def _draw(nodes: Nodes, logits: str, temperature: str, uniforms: str) -> tuple[str, str]:
    """``reference.draw`` for (B, N, V) logits and (B, N) uniforms."""
    last = nodes.ints(-1)
    below_best = nodes.cast(nodes("Sub", logits, nodes("ReduceMax", logits, last)), _REAL)
    log_total = nodes("Log", nodes("ReduceSum", nodes("Exp", below_best), last, keepdims=0))
    is_cold = nodes("Equal", temperature, nodes.constant(0, _REAL))
    divisor = nodes("Where", is_cold, nodes.constant(1, _REAL), temperature)
    weights = nodes("Exp", nodes("Div", below_best, divisor))
    cumulative = nodes("CumSum", weights, nodes.constant(2, "int64"))
    total = nodes("Gather", cumulative, nodes.constant(-1, "int64"), axis=2)
    threshold = nodes("Unsqueeze", nodes("Mul", uniforms, total), last)
    # The first token whose sum reaches the threshold has as many before it as fall short.
    short = nodes.cast(nodes("Less", cumulative, threshold), "int32")
    drawn = nodes("ReduceSum", short, last, keepdims=0)
    greedy = nodes.cast(nodes("ArgMax", logits, axis=2, keepdims=0), "int32")
    drawn = nodes("Where", is_cold, greedy, drawn)
    place = nodes("Unsqueeze", nodes.cast(drawn, "int64"), last)
    chosen = nodes("Squeeze", nodes("GatherElements", below_best, place, axis=2), last)
    return drawn, nodes("Sub", chosen, log_total)


def _rank(nodes: Nodes, values: str, count: int) -> str:
    """How many of (B, N) come before each: the smaller ones, and of equals the earlier.

    Sorting is what GPUs do worst, and of equals they promise no order.
    """
    mine, other = (nodes("Unsqueeze", values, nodes.ints(axis)) for axis in (2, 1))
    places = nodes("Range", *(nodes.constant(x, "int32") for x in (0, count, 1)))
    earlier = nodes("Less", places, nodes("Unsqueeze", places, nodes.ints(1)))
    is_tied = nodes("And", nodes("Equal", other, mine), earlier)
    is_before = nodes("Or", nodes("Less", other, mine), is_tied)
    return nodes("ReduceSum", nodes.cast(is_before, "int32"), nodes.ints(2), keepdims=0)
