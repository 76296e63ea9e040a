"""The whole decoding loop as one ONNX graph around the transformer's own.

The body says in operators what ``echoes_rt.decode.reference`` says in numpy.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from echoes_export.nodes import Nodes
from echoes_rt.decode.reference import LOGIT_FLOOR, REAL
from echoes_rt.spec.graphs import BATCH, GraphSpec, TensorSpec
from echoes_rt.spec.tokens import TokenLayout

_REAL = np.dtype(REAL).name


def scores_signature(layout: TokenLayout) -> GraphSpec:
    """Of ``wrappers.Scores``, which is a part of graphs and never a file."""
    logits = (
        TensorSpec(dtype="float32", shape=(rows, layout.vocab_size))
        for rows in ("n_image", "n_audio")
    )
    return GraphSpec(
        inputs={
            "seen": TensorSpec(dtype="int32", shape=(BATCH, layout.n_tokens)),
            "image_rows": TensorSpec(dtype="int64", shape=("n_image",)),
            "audio_rows": TensorSpec(dtype="int64", shape=("n_audio",)),
        },
        outputs=dict(zip(("image_logits", "audio_logits"), logits, strict=True)),
    )


@dataclass(frozen=True, kw_only=True)
class _Outer:
    """What the body of the loop sees of the graph around it."""

    scores: list[onnx.NodeProto]
    layout: TokenLayout
    mask_token: str
    has_condition: str
    positions: str


def decode_graph(
    scores: onnx.ModelProto, signature: GraphSpec, layout: TokenLayout
) -> onnx.ModelProto:
    """Wraps the graph of ``wrappers.Scores`` into a Loop over the steps of the plan.

    What does not depend on the step lies before the Loop, which ends when no token is unknown.
    """
    constants = {tensor.name: tensor for tensor in scores.graph.initializer}
    nodes = Nodes("loop.", constants)
    fixed, varying = split_fixed(scores.graph)
    nodes.splice(fixed, {})
    mask_token = nodes.constant(layout.mask_token_id, "int32")
    outer = _Outer(
        scores=varying,
        layout=layout,
        mask_token=mask_token,
        has_condition=any_true(nodes, "condition"),
        positions=nodes("Range", *(nodes.constant(x, "int32") for x in (0, layout.n_tokens, 1))),
    )
    tokens = nodes("Where", "mask", mask_token, "tokens")
    steps, is_asking = nodes("Squeeze", nodes.shape("keep", 0)), any_true(nodes, "mask")
    (output,) = signature.outputs
    nodes.nodes.append(
        helper.make_node(
            "Loop",
            [steps, is_asking, tokens, "mask"],
            [output, "loop.left"],
            body=_body(outer, constants),
        )
    )
    return nodes.model("decode", signature)


def split_fixed(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """The nodes that depend on no input, and the others."""
    varying = {value.name for value in graph.input}
    parts: tuple[list[onnx.NodeProto], list[onnx.NodeProto]] = ([], [])
    for node in graph.node:
        is_varying = not varying.isdisjoint(node.input)
        parts[is_varying].append(node)
        if is_varying:
            varying.update(node.output)
    return parts


def any_true(nodes: Nodes, flags: str) -> str:
    """A scalar: whether any of the bools is true."""
    return nodes.cast(nodes("ReduceMax", nodes.cast(flags, "int32"), keepdims=0), "bool")


def _body(outer: _Outer, constants: dict[str, onnx.TensorProto]) -> onnx.GraphProto:
    """(step, goes_on, tokens, mask) -> (goes_on, tokens, mask)."""
    nodes = Nodes("step.", constants)
    plan = {
        name: nodes("Gather", name, "step.index", axis=0)
        for name in ("keep", "temperature", "choice_temperature", "guidance_scale", "uniforms")
    }
    rows, image_rows, audio_rows = _rows(nodes, outer.layout)
    logits = _guided_logits(nodes, outer, plan["guidance_scale"], image_rows, audio_rows)
    flat = nodes.ints(2, -1)
    uniforms = nodes("Gather", nodes("Reshape", plan["uniforms"], flat), rows, axis=1)
    uniforms = nodes.cast(uniforms, _REAL)
    to_draw, to_rank = (
        nodes("Gather", uniforms, nodes.constant(which, "int64"), axis=0) for which in range(2)
    )
    drawn, log_probs = _draw(nodes, logits, nodes.cast(plan["temperature"], _REAL), to_draw)
    gumbel = nodes("Neg", nodes("Log", nodes("Neg", nodes("Log", to_rank))))
    noise = nodes("Mul", nodes.cast(plan["choice_temperature"], _REAL), gumbel)
    confidence = nodes.cast(nodes("Add", log_probs, noise), "float32")
    again = _least_confident(nodes, outer, rows, confidence, plan["keep"])
    tokens = _scattered(nodes, "step.tokens", rows, nodes.cast(drawn, "int32"))
    nodes("Where", again, outer.mask_token, tokens, output="step.next_tokens")
    nodes("Identity", again, output="step.next_mask")
    nodes("Identity", any_true(nodes, again), output="step.goes_on")
    scalar = {"step.index": TensorProto.INT64, "step.enters": TensorProto.BOOL}
    state = [("tokens", TensorProto.INT32), ("mask", TensorProto.BOOL)]
    shape: list[str | int | None] = [BATCH, outer.layout.n_tokens]
    return helper.make_graph(
        nodes.nodes,
        "step",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in scalar.items()]
        + [helper.make_tensor_value_info(f"step.{name}", kind, shape) for name, kind in state],
        [helper.make_tensor_value_info("step.goes_on", TensorProto.BOOL, [])]
        + [helper.make_tensor_value_info(f"step.next_{name}", kind, shape) for name, kind in state],
    )


def _rows(nodes: Nodes, layout: TokenLayout) -> tuple[str, str, str]:
    """Places of the unknown tokens in the flattened (B * N): all, the image's, the sound's."""
    parts = []
    for medium in (layout.image_slice, layout.audio_slice):
        mask = nodes.slice("step.mask", nodes.ints(medium.start), nodes.ints(medium.stop), axis=1)
        found = nodes("NonZero", mask)  # (2, M)
        member, position = (
            nodes("Gather", found, nodes.constant(axis, "int64"), axis=0) for axis in range(2)
        )
        start = nodes("Mul", member, nodes.constant(layout.n_tokens, "int64"))
        place = nodes("Add", position, nodes.constant(medium.start, "int64"))
        parts.append(nodes("Add", start, place))
    return nodes("Concat", *parts, axis=0), parts[0], parts[1]


def _guided_logits(
    nodes: Nodes, outer: _Outer, scale: str, image_rows: str, audio_rows: str
) -> str:
    """Logits (M, V) of the unknown tokens.

    Where guidance is off the second branch is cut away, and every row is its own unconditional
    one: u + s (c - u) is c.
    """
    is_on = nodes("Not", nodes("Equal", scale, nodes.constant(1, "float32")))
    is_guided = nodes("And", is_on, outer.has_condition)
    branches = nodes("Where", is_guided, nodes.ints(2), nodes.ints(1))
    masked = nodes("Where", "condition", outer.mask_token, "step.tokens")
    both = nodes("Concat", "step.tokens", masked, axis=0)
    n_members = nodes.shape("step.tokens", 0)
    begin = nodes.ints(0)
    names = {"seen": nodes.slice(both, begin, nodes("Mul", n_members, branches))}
    width = nodes("Mul", n_members, nodes.constant(outer.layout.n_tokens, "int64"))
    parts = {"image": image_rows, "audio": audio_rows}
    sizes = {medium: nodes.shape(rows, 0) for medium, rows in parts.items()}
    for medium, rows in parts.items():
        twice = nodes("Concat", rows, nodes("Add", rows, width), axis=0)
        stop = nodes("Mul", sizes[medium], branches)
        names[f"{medium}_rows"] = nodes.slice(twice, begin, stop)
    nodes.splice(outer.scores, names)
    conditional, unconditional = [], []
    for medium, size in sizes.items():
        logits = f"{medium}_logits"
        total = nodes("Mul", size, branches)
        conditional.append(nodes.slice(logits, begin, size))
        unconditional.append(nodes.slice(logits, nodes("Sub", total, size), total))
    floor = nodes.constant(LOGIT_FLOOR, "float32")
    c, u = (
        nodes("Max", nodes("Concat", *rows, axis=0), floor) for rows in (conditional, unconditional)
    )
    return nodes("Add", u, nodes("Mul", scale, nodes("Sub", c, u)))


def _draw(nodes: Nodes, logits: str, temperature: str, uniforms: str) -> tuple[str, str]:
    """``reference.draw`` for (M, V) logits and (M,) uniforms: tokens and log-probabilities."""
    last = nodes.ints(-1)
    best = nodes("ReduceMax", logits, nodes.ints(1))
    below_best = nodes.cast(nodes("Sub", logits, best), _REAL)
    weights = nodes("Exp", below_best)
    log_total = nodes("Log", nodes("ReduceSum", weights, nodes.ints(1), keepdims=0))
    is_cold = nodes("Equal", temperature, nodes.constant(0, _REAL))
    weights = _tempered(nodes, weights, below_best, temperature)
    cumulative = nodes("CumSum", weights, nodes.constant(1, "int64"))
    total = nodes("Gather", cumulative, nodes.constant(-1, "int64"), axis=1)
    threshold = nodes("Unsqueeze", nodes("Mul", uniforms, total), last)
    # The first token whose sum reaches the threshold has as many before it as fall short.
    short = nodes.cast(nodes("Less", cumulative, threshold), "int32")
    drawn = nodes.cast(nodes("ReduceSum", short, nodes.ints(1), keepdims=0), "int64")
    greedy = nodes("ArgMax", logits, axis=1, keepdims=0)
    drawn = nodes("Where", is_cold, greedy, drawn)
    chosen = nodes("GatherElements", below_best, nodes("Unsqueeze", drawn, last), axis=1)
    return drawn, nodes("Sub", nodes("Squeeze", chosen, last), log_total)


def _tempered(nodes: Nodes, weights: str, below_best: str, temperature: str) -> str:
    """exp(below_best / temperature), which at temperature 1 is there already."""
    warm, plain = Nodes("tempered.", nodes.constants), Nodes("plain.", nodes.constants)
    is_zero = warm("Equal", temperature, warm.constant(0, _REAL))
    divisor = warm("Where", is_zero, warm.constant(1, _REAL), temperature)
    warm("Exp", warm("Div", below_best, divisor), output="tempered.weights")
    plain("Identity", weights, output="plain.weights")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(REAL))
    branches = {
        f"{branch}_branch": helper.make_graph(
            part.nodes, name, [], [helper.make_tensor_value_info(f"{name}.weights", kind, None)]
        )
        for branch, name, part in (("then", "plain", plain), ("else", "tempered", warm))
    }
    is_one = nodes("Equal", temperature, nodes.constant(1, _REAL))
    return nodes("If", is_one, **branches)


def _least_confident(nodes: Nodes, outer: _Outer, rows: str, confidence: str, keep: str) -> str:
    """(B, N), true for the ``keep`` least confident of each member; of equals, the earlier."""
    n_tokens = outer.layout.n_tokens
    infinite = nodes("Expand", nodes.constant("inf", "float32"), nodes("Shape", "step.mask"))
    everywhere = _scattered(nodes, infinite, rows, confidence)
    # TopK's contract: of equals the lower index comes first. Known tokens come last.
    nodes.nodes.append(
        helper.make_node(
            "TopK",
            [everywhere, nodes.ints(n_tokens)],
            ["step.sorted", "step.order"],
            axis=1,
            largest=0,
        )
    )
    is_least = nodes("Less", outer.positions, nodes("Unsqueeze", keep, nodes.ints(-1)))
    again = nodes("ScatterElements", "step.mask", "step.order", is_least, axis=1)
    return nodes("And", again, "step.mask")


def _scattered(nodes: Nodes, values: str, rows: str, updates: str) -> str:
    """``values`` (B, N) with ``updates`` (M,) at the places ``rows`` of the flattened."""
    flat = nodes("Reshape", values, nodes.ints(-1))
    return nodes("Reshape", nodes("ScatterElements", flat, rows, updates), nodes("Shape", values))
