"""One torch module to one ONNX graph whose weights lie in the bundle's weights file."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn

from echoes_export.bundle.weights_file import StoredTensor, refer
from echoes_export.graphs.nodes import OPSET
from echoes_rt.format.graphs import (
    BATCH,
    DRAWN,
    FRAMES,
    GUIDED,
    SAMPLES,
    SEEN,
    GraphSpec,
    TensorSpec,
)

# Attention does not build inside a Loop in TensorRT; randomness is an input, never an operator.
FORBIDDEN = ("Attention", "Bernoulli", "Dropout", "Multinomial", "Random")

_ELEMENT_TYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}


def export_graph(
    name: str, module: nn.Module, signature: GraphSpec, stored: dict[str, StoredTensor]
) -> onnx.ModelProto:
    """Traces ``module`` and replaces its weights by references into the weights file."""
    model = _traced(module, signature)
    _optimize(model, {key for key, _ in (*module.named_parameters(), *module.named_buffers())})
    proto = onnx_ir.to_proto(model)
    assert isinstance(proto, onnx.ModelProto)
    _strip(proto, name)
    order_gelu(proto.graph)
    _refer_to(stored, proto.graph)
    _sign(proto.graph, signature)
    _check_operators(proto)
    return proto


def has_weights(model: onnx.ModelProto) -> bool:
    """Whether it refers to the weights file."""
    return any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer)


def _traced(module: nn.Module, signature: GraphSpec) -> onnx_ir.Model:
    examples = tuple(_example(spec) for spec in signature.inputs.values())
    # The exporter warns of its own internals and of the absence of torchvision.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            examples,
            input_names=list(signature.inputs),
            output_names=list(signature.outputs),
            opset_version=OPSET,
            dynamic_shapes=tuple(_free_dims(spec) for spec in signature.inputs.values()),
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model


def _example(spec: TensorSpec) -> Tensor:
    # Not 1, which the exporter takes for a constant. Frames and samples only need to be enough for
    # a kernel and for a window.
    sizes = {BATCH: 2, SEEN: 2, GUIDED: 3, DRAWN: 4, FRAMES: 16, SAMPLES: 8192}
    shape = [sizes[dim] if isinstance(dim, str) else dim for dim in spec.shape]
    return torch.from_numpy(np.zeros(shape, dtype=spec.dtype))


def _free_dims(spec: TensorSpec) -> dict[int, object]:
    return {i: torch.export.Dim(dim) for i, dim in enumerate(spec.shape) if isinstance(dim, str)}


def _optimize(model: onnx_ir.Model, kept: set[str]) -> None:
    """Folds constants, but none of ``kept``: folded weights would be new ones in the file."""
    graph = model.graph
    values = [graph.initializers.pop(key) for key in list(graph.initializers) if key in kept]
    tensors = [value.const_value for value in values]
    n_inputs = len(graph.inputs)
    for value in values:
        value.const_value = None
        graph.inputs.append(value)
    optimizer.optimize(model)
    del graph.inputs[n_inputs:]
    for value, tensor in zip(values, tensors, strict=True):
        if value.uses():
            value.const_value = tensor
            graph.register_initializer(value)


def _strip(model: onnx.ModelProto, name: str) -> None:
    """Removes stack traces, paths of this machine and guesses of intermediate shapes."""
    graph = model.graph
    model.producer_name, model.producer_version = "echoes-rt", ""
    model.doc_string = graph.doc_string = ""
    graph.name = name
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    for node in _nodes(graph):
        node.name = node.doc_string = ""
        del node.metadata_props[:]


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _refer_to(stored: dict[str, StoredTensor], graph: onnx.GraphProto) -> None:
    """Points every weight to its place in the weights file, through a Cast where it is fp16."""
    casts = []
    for tensor in graph.initializer:
        if tensor.name not in stored:
            continue
        place = stored[tensor.name]
        assert tuple(tensor.dims) == place.shape
        reference = TensorProto(name=tensor.name, data_type=_ELEMENT_TYPES[place.dtype])
        refer(reference, place)
        if place.dtype == "F16":
            reference.name = f"{tensor.name}.fp16"
            cast = helper.make_node("Cast", [reference.name], [tensor.name], to=TensorProto.FLOAT)
            casts.append(cast)
        tensor.CopyFrom(reference)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _sign(graph: onnx.GraphProto, signature: GraphSpec) -> None:
    for values, specs in ((graph.input, signature.inputs), (graph.output, signature.outputs)):
        assert [value.name for value in values] == list(specs)
        for value, spec in zip(values, specs.values(), strict=True):
            found = value.type.tensor_type
            dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
            # A free dimension of an output may be computed: samples are a product of frames.
            dims = tuple(
                said if isinstance(said, str) else dim.dim_value
                for said, dim in zip(spec.shape, found.shape.dim, strict=True)
            )
            assert (found.elem_type, dims) == (dtype, spec.shape), (value.name, dims)
            value.CopyFrom(helper.make_tensor_value_info(value.name, dtype, spec.shape))


def _check_operators(model: onnx.ModelProto) -> None:
    for node in _nodes(model.graph):
        assert not node.domain, f"{node.op_type} of {node.domain} is not standard ONNX"
        assert not node.op_type.startswith(FORBIDDEN), f"{node.op_type} must not be exported"


def order_gelu(graph: onnx.GraphProto) -> None:
    """Turns x (0.5 (1 + erf)) into (x (1 + erf)) 0.5, the same number to the last bit.

    The exporter writes the first. ONNX Runtime's GeluFusion looks for the second, and one kernel
    instead of five operators takes 6 % off the decoding loop of echoes-mini.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    halves = {tensor.name for tensor in graph.initializer if _is_half(tensor)}
    for node in graph.node:
        if node.op_type != "Mul":
            continue
        for place, name in enumerate(node.input):
            scaled = made_by.get(name)
            if scaled is None or scaled.op_type != "Mul" or uses[name] > 1:
                continue
            half, total = sorted(scaled.input, key=lambda value: value not in halves)
            if half not in halves or not _is_erf_sum(made_by.get(total), made_by):
                continue
            x = node.input[1 - place]
            scaled.input[:] = [x, total]
            node.input[:] = [scaled.output[0], half]
            break


def _is_half(tensor: onnx.TensorProto) -> bool:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or any(dim != 1 for dim in tensor.dims):
        return False
    return bool((numpy_helper.to_array(tensor) == 0.5).all())


def _is_erf_sum(node: onnx.NodeProto | None, made_by: dict[str, onnx.NodeProto]) -> bool:
    if node is None or node.op_type != "Add":
        return False
    return any(name in made_by and made_by[name].op_type == "Erf" for name in node.input)
