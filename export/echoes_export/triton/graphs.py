"""Decoding as Triton batches it: one graph whose inputs and outputs all begin with the batch."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import onnx

from echoes_export.graphs.nodes import Nodes, signature_of
from echoes_rt.bundle import Bundle
from echoes_rt.decode.plan import make_plan
from echoes_rt.format.graphs import BATCH, GraphSpec, TensorSpec
from echoes_rt.format.tokens import OTHER


def batched_decode(bundle: Bundle, target: str) -> onnx.ModelProto:
    """``context_*`` and ``decode_*`` for a target that is all unknown, by the bundle's sampling.

    It takes ``codes`` int32 (batch, N') of the other medium and ``uniforms`` float32 (batch, N),
    the noise of every position, and gives ``decoded`` int32 (batch, N). The plan, the same for
    every request, is within. Weights stay in the file that the bundle's graphs refer to.

    Raises:
        BundleError: if the bundle has no such graphs.
    """
    grid = bundle.manifest.tokens.grids[target]
    sampling = bundle.manifest.sampling
    sampling = replace(sampling, steps=min(sampling.steps, grid.n_tokens))
    plan = make_plan(np.ones((1, grid.n_tokens), np.bool_), grid.order, sampling)
    positions = plan.positions[:, 0]  # (K, M), the same for every member
    context, decode = (
        onnx.load(bundle.graph_path(name), load_external_data=False)
        for name in (f"context_{OTHER[target]}", f"decode_{target}")
    )
    constants: dict[str, onnx.TensorProto] = {}
    add = Nodes("request_", constants)
    batch = add.shape("codes", 0)
    steps, drawn = add.ints(len(positions)), add.ints(positions.shape[1])
    everyone = add("Concat", steps, batch, drawn, axis=0)
    tokens = add("Concat", batch, add.ints(grid.n_tokens), axis=0)
    # What a member does not draw it is given any noise for.
    read = add.constant(np.minimum(positions, grid.n_tokens - 1), "int64")
    noise = add("Gather", "uniforms", read, axis=1)  # (B, K, M)
    given = {
        "tokens": add("Expand", add.constant([[grid.mask_token]], "int32"), tokens),
        "context": "seen",
        "positions": add("Expand", add.constant(positions[:, None], "int32"), everyone),
        "uniforms": add("Transpose", noise, perm=[1, 0, 2]),
        **{name: add.constant(values, "float32") for name, values in plan.drawing.items()},
        "decoded": "decoded",
    }
    if "guidance_scale" in signature_of(decode).inputs:
        given["guidance_scale"] = add.constant(plan.guidance_scale, "float32")
    add.splice(context.graph.node, {"codes": "codes", "context": "seen"}, "context_")
    add.splice(decode.graph.node, given, "decode_")
    constants |= _renamed(context.graph.initializer, "context_")
    constants |= _renamed(decode.graph.initializer, "decode_")
    signature = GraphSpec(
        inputs={
            "codes": signature_of(context).inputs["codes"],
            "uniforms": TensorSpec(dtype="float32", shape=(BATCH, grid.n_tokens)),
        },
        outputs={"decoded": TensorSpec(dtype="int32", shape=(BATCH, grid.n_tokens))},
    )
    return add.model(f"decode_{target}", signature)


def _renamed(tensors: Iterable[onnx.TensorProto], prefix: str) -> dict[str, onnx.TensorProto]:
    found = {}
    for tensor in tensors:
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = f"{prefix}{tensor.name}"
        found[copy.name] = copy
    return found
