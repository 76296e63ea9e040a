"""The one sampler: the step of decoding and the loop around it, built of one network's graph.

The nodes say in operators what ``echoes_rt.decode.reference`` says in numpy.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from echoes_export.graphs.nodes import Nodes, signature_of
from echoes_rt.decode.reference import LOGIT_FLOOR, REAL
from echoes_rt.format.graphs import (
    BATCH,
    DRAWN,
    GUIDED,
    SEEN,
    STEPS,
    GraphSpec,
    Tensors,
    TensorSpec,
)
from echoes_rt.format.sampling import DRAWING
from echoes_rt.format.tokens import Grid

CONTEXT = "context"


def network_signature(grid: Grid, context: TensorSpec) -> GraphSpec:
    """Of what ``wrappers`` makes of the transformer for a target; part of graphs, never a file.

    The first rows of the batch see the context, the others do not.
    """
    inputs = {CONTEXT: context}
    for rows, part in ((SEEN, "seen"), (GUIDED, "alone")):
        inputs[f"{part}_tokens"] = TensorSpec(dtype="int32", shape=(rows, grid.n_tokens))
        inputs[f"{part}_positions"] = TensorSpec(dtype="int32", shape=(rows, DRAWN))
    logits = TensorSpec(dtype="float32", shape=("rows", DRAWN, grid.codebook_size))
    return GraphSpec(inputs=inputs, outputs={"logits": logits})


def logits_graph(name: str, network: onnx.ModelProto, grid: Grid) -> onnx.ModelProto:
    """(B, N) tokens and a context, of B members or of none, to the (B, N, V) logits of all."""
    nodes = Nodes("logits.", _constants(network))
    n_seen = nodes.shape(CONTEXT, 0)
    n_alone = nodes("Sub", nodes.shape("tokens", 0), n_seen)
    positions = nodes.constant(np.arange(grid.n_tokens)[None], "int32")
    everywhere = nodes("Expand", positions, nodes("Shape", "tokens"))
    _add_network(nodes, network, "tokens", everywhere, n_seen, n_alone)
    inputs = {"tokens": _tokens(grid), CONTEXT: _context(network)}
    shape = (BATCH, grid.n_tokens, grid.codebook_size)
    outputs = {"logits": TensorSpec(dtype="float32", shape=shape)}
    return nodes.model(name, GraphSpec(inputs=inputs, outputs=outputs))


def step_graph(
    name: str, network: onnx.ModelProto, grid: Grid, *, is_folded: bool = False
) -> onnx.ModelProto:
    """One step, without control flow: draws the tokens at ``positions`` and keeps the others.

    A position of N is no token's and changes nothing. There are as many ``guidance_scale`` as rows
    that do not see the context: none, or one a member. Where guidance is folded in, there is no
    such input, and each member has one row, with the context or without.
    """
    nodes = Nodes("sampler.", _constants(network))
    begin, n_tokens = nodes.ints(0), nodes.constant(grid.n_tokens - 1, "int32")
    n_members, n_seen = nodes.shape("tokens", 0), nodes.shape(CONTEXT, 0)
    n_alone = nodes("Sub", n_members, n_seen) if is_folded else nodes.shape("guidance_scale", 0)
    rows = nodes("Min", "positions", n_tokens)
    _add_network(nodes, network, "tokens", rows, n_seen, n_alone)
    logits = nodes("Max", "logits", nodes.constant(LOGIT_FLOOR, "float32"))
    if not is_folded:
        logits = _guided(nodes, logits, n_members, nodes("Add", n_seen, n_alone))
    drawn = _draw(nodes, logits, grid.codebook_size)
    first = nodes.slice("tokens", begin, nodes.ints(1), axis=1)
    longer = nodes("Concat", "tokens", first, axis=1)
    longer = nodes("ScatterElements", longer, "positions", drawn, axis=1)
    end = nodes.ints(grid.n_tokens)
    nodes("Slice", longer, begin, end, nodes.ints(1), output="decoded")
    inputs = {
        "tokens": _tokens(grid),
        CONTEXT: _context(network),
        "positions": TensorSpec(dtype="int32", shape=(BATCH, DRAWN)),
        "uniforms": TensorSpec(dtype="float32", shape=(BATCH, DRAWN)),
        **dict.fromkeys(DRAWING, TensorSpec(dtype="float32", shape=(1,))),
    }
    if not is_folded:
        inputs["guidance_scale"] = TensorSpec(dtype="float32", shape=(GUIDED,))
    return nodes.model(name, GraphSpec(inputs=inputs, outputs={"decoded": _tokens(grid)}))


def loop_graph(name: str, step: onnx.ModelProto, *, is_static: bool = False) -> onnx.ModelProto:
    """All steps in one call: a Loop around the nodes of ``step_graph``.

    Args:
        name: of the graph.
        step: what ``step_graph`` made.
        is_static: for TensorRT, which has no sizes that data decides: there is always a context,
            and both branches, if there are two, run in every step.
    """
    constants = _constants(step)
    inputs = signature_of(step).inputs
    by_step = [name for name in (*DRAWING, "guidance_scale") if name in inputs]
    nodes = Nodes("loop.", constants)
    fixed, varying = _split_fixed(step.graph, inputs.keys() - {CONTEXT})
    nodes.splice(fixed, {})
    body = Nodes("step.", constants)
    index = "step.index"
    taken = {key: body("Gather", key, index, axis=0) for key in ("positions", "uniforms")}
    for key in by_step:
        taken[key] = body("Reshape", body("Gather", key, index, axis=0), body.ints(1))
    if "guidance_scale" in taken:
        taken["guidance_scale"] = _scales(body, taken["guidance_scale"], is_static=is_static)
    names = {**taken, "tokens": "step.tokens", CONTEXT: CONTEXT, "decoded": "step.decoded"}
    body.splice(varying, names)
    body("Identity", body.constant(True, "bool"), output="step.goes_on")
    tokens = inputs["tokens"]
    graph = helper.make_graph(
        body.nodes,
        "step",
        [
            helper.make_tensor_value_info(index, TensorProto.INT64, []),
            helper.make_tensor_value_info("step.enters", TensorProto.BOOL, []),
            helper.make_tensor_value_info("step.tokens", TensorProto.INT32, tokens.shape),
        ],
        [
            helper.make_tensor_value_info("step.goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("step.decoded", TensorProto.INT32, tokens.shape),
        ],
    )
    steps = nodes("Squeeze", nodes.shape(by_step[0], 0))
    nodes.nodes.append(helper.make_node("Loop", [steps, "", "tokens"], ["decoded"], body=graph))
    context = inputs[CONTEXT]
    if is_static:
        context = TensorSpec(dtype=context.dtype, shape=(BATCH, *context.shape[1:]))
    plan: Tensors = {
        "positions": TensorSpec(dtype="int32", shape=(STEPS, BATCH, DRAWN)),
        "uniforms": TensorSpec(dtype="float32", shape=(STEPS, BATCH, DRAWN)),
        **{name: TensorSpec(dtype="float32", shape=(STEPS,)) for name in by_step},
    }
    signature = {"tokens": tokens, CONTEXT: context, **plan}
    return nodes.model(name, GraphSpec(inputs=signature, outputs={"decoded": tokens}))


def _scales(body: Nodes, scale: str, *, is_static: bool) -> str:
    """A step's one ``scale`` for each member; none where only the branch with context runs."""
    n_members = body.shape("step.tokens", 0)
    scales = body("Expand", scale, n_members)
    if is_static:
        return scales
    is_off = body("Equal", scale, body.constant(1, "float32"))
    has_context = body("Equal", body.shape(CONTEXT, 0), n_members)
    n_alone = body("Where", body("And", is_off, has_context), body.ints(0), n_members)
    return body.slice(scales, body.ints(0), n_alone)


def single_precision(step: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a step that draws in float32: TensorRT has no float64."""
    copy = onnx.ModelProto()
    copy.CopyFrom(step)
    for tensor in copy.graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for node in copy.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
    return copy


def _add_network(
    nodes: Nodes, network: onnx.ModelProto, tokens: str, positions: str, n_seen: str, n_alone: str
) -> None:
    """``logits`` of the rows that see the context and, behind them, of those that do not."""
    begin = nodes.ints(0)
    names = {CONTEXT: CONTEXT, "logits": "logits"}
    for part, count in (("seen", n_seen), ("alone", n_alone)):
        names[f"{part}_tokens"] = nodes.slice(tokens, begin, count)
        names[f"{part}_positions"] = nodes.slice(positions, begin, count)
    nodes.splice(network.graph.node, names)


def _guided(nodes: Nodes, logits: str, n_members: str, n_rows: str) -> str:
    """(B, M, V): the rows that see the context, mixed with those behind them that do not."""
    begin = nodes.ints(0)
    seen = nodes.slice(logits, begin, n_members)
    alone = nodes.slice(logits, nodes("Sub", n_rows, n_members), n_rows)
    # Of one branch alone both slices are the same rows, and any scale gives those.
    ones = nodes("Expand", nodes.constant(1, "float32"), n_members)
    scales = nodes.slice(nodes("Concat", "guidance_scale", ones, axis=0), begin, n_members)
    scales = nodes("Reshape", scales, nodes.ints(-1, 1, 1))
    return nodes("Add", alone, nodes("Mul", scales, nodes("Sub", seen, alone)))


def _draw(nodes: Nodes, logits: str, vocab_size: int) -> str:
    """``reference.draw`` for (B, M, V) logits and (B, M) ``uniforms``: (B, M) tokens."""
    last, real = nodes.ints(-1), REAL.__name__
    temperature = nodes.cast("temperature", real)
    below_best = nodes("Sub", logits, nodes("ReduceMax", logits, last))
    is_cold = nodes("Equal", temperature, nodes.constant(0, real))
    divisor = nodes("Where", is_cold, nodes.constant(1, real), temperature)
    weights = nodes("Exp", nodes("Div", nodes.cast(below_best, real), divisor))
    cumulative = _cumulative(nodes, weights, vocab_size)
    total = nodes.slice(cumulative, last, nodes.ints(np.iinfo(np.int64).max), axis=-1)
    uniforms = nodes("Unsqueeze", nodes.cast("uniforms", real), last)
    # The first token whose sum reaches the threshold has as many before it as fall short.
    short = nodes.cast(nodes("Less", cumulative, nodes("Mul", uniforms, total)), "int32")
    drawn = nodes("ReduceSum", short, last, keepdims=0)
    # Likewise the best: not every runtime promises which of equals its ArgMax takes.
    is_best = nodes("Equal", below_best, nodes.constant(0, "float32"))
    codes, end = nodes.constant(np.arange(vocab_size), "int32"), nodes.constant(vocab_size, "int32")
    greedy = nodes("ReduceMin", nodes("Where", is_best, codes, end), last, keepdims=0)
    # Sums of different parts may differ in the last bit; it never leads out of the codebook.
    highest = nodes.constant(vocab_size - 1, "int32")
    return nodes("Min", nodes("Where", is_cold, greedy, drawn), highest)


def _cumulative(nodes: Nodes, weights: str, vocab_size: int) -> str:
    """Sums from the first code to each, over (B, M, V), with zeros up to the next square.

    In blocks, and of the blocks before: TensorRT before 10.11 runs CumSum as a loop over what it
    sums, and two short sums round less than a long one.
    """
    block = math.isqrt(vocab_size - 1) + 1
    padding = block * block - vocab_size
    if padding:
        zero = nodes.constant(0, REAL.__name__)
        weights = nodes("Pad", weights, nodes.ints(0, 0, 0, 0, 0, padding), zero)
    blocks = nodes("Reshape", weights, nodes.ints(0, 0, block, block))
    inside = nodes("CumSum", blocks, nodes.constant(3, "int64"))
    ends = nodes("Gather", inside, nodes.constant(-1, "int64"), axis=3)
    before = nodes("CumSum", ends, nodes.constant(2, "int64"), exclusive=1)
    sums = nodes("Add", inside, nodes("Unsqueeze", before, nodes.ints(-1)))
    return nodes("Reshape", sums, nodes.ints(0, 0, block * block))


def _split_fixed(
    graph: onnx.GraphProto, varying: set[str]
) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """The nodes that depend on none of the ``varying`` values, and the others."""
    parts: tuple[list[onnx.NodeProto], list[onnx.NodeProto]] = ([], [])
    for node in graph.node:
        is_varying = not varying.isdisjoint(node.input)
        parts[is_varying].append(node)
        if is_varying:
            varying.update(node.output)
    return parts


def _constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def _tokens(grid: Grid) -> TensorSpec:
    return TensorSpec(dtype="int32", shape=(BATCH, grid.n_tokens))


def _context(network: onnx.ModelProto) -> TensorSpec:
    return signature_of(network).inputs[CONTEXT]
