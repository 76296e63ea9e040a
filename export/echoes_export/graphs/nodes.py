"""Nodes of one ONNX graph, written as calls."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

from echoes_rt.format.graphs import Dim, GraphSpec, TensorSpec

OPSET = 18
"""The exporter's native one; every ONNX Runtime that echoes-rt allows reads it."""

_IR_VERSION = 10

_MAX_NAME = 64
"""Of a constant that is named by its values; longer ones are named by their hash."""


class Nodes:
    """Collects nodes; a call adds one and gives the name of its output.

    Constants go to ``constants``, which the graphs of one model may share: a graph in an
    attribute sees every name of the graph around it.
    """

    def __init__(self, prefix: str, constants: dict[str, onnx.TensorProto]) -> None:
        self.prefix = prefix
        self.constants = constants
        self.nodes: list[onnx.NodeProto] = []

    def __call__(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{self.prefix}{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], **attributes))
        return output

    def constant(self, value: ArrayLike, dtype: str) -> str:
        array = np.asarray(value, dtype=dtype)
        values = "_".join(map(str, array.flat))
        if len(values) > _MAX_NAME:
            values = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        name = f"const_{dtype}_{'x'.join(map(str, array.shape))}_{values}"
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def ints(self, *values: int) -> str:
        """A vector of int64: axes, shapes, bounds."""
        return self.constant(values, "int64")

    def cast(self, value: str, dtype: str) -> str:
        return self("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def shape(self, value: str, axis: int) -> str:
        """One dimension, as a vector of one."""
        return self("Shape", value, start=axis, end=axis + 1)

    def slice(self, value: str, start: str, stop: str, axis: int = 0) -> str:
        return self("Slice", value, start, stop, self.ints(axis))

    def splice(
        self, nodes: Iterable[onnx.NodeProto], names: Mapping[str, str], prefix: str = ""
    ) -> None:
        """Adds the nodes of another graph.

        Args:
            nodes: copied, with the graphs in their attributes.
            names: what some of their values are called here.
            prefix: put before all other names.
        """
        self.nodes += [_renamed(node, names, prefix) for node in nodes]

    def model(self, name: str, signature: GraphSpec) -> onnx.ModelProto:
        inputs, outputs = (
            [
                helper.make_tensor_value_info(
                    key, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape
                )
                for key, spec in side.items()
            ]
            for side in (signature.inputs, signature.outputs)
        )
        graph = helper.make_graph(self.nodes, name, inputs, outputs, [*self.constants.values()])
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="echoes-rt",
        )


def signature_of(model: onnx.ModelProto) -> GraphSpec:
    """As the graph has it."""
    inputs, outputs = (
        {value.name: _spec(value) for value in side}
        for side in (model.graph.input, model.graph.output)
    )
    return GraphSpec(inputs=inputs, outputs=outputs)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    found = value.type.tensor_type
    shape: tuple[Dim, ...] = tuple(d.dim_param or d.dim_value for d in found.shape.dim)
    return TensorSpec(dtype=helper.tensor_dtype_to_np_dtype(found.elem_type).name, shape=shape)


def _renamed(node: onnx.NodeProto, names: Mapping[str, str], prefix: str) -> onnx.NodeProto:
    def renamed(values: Iterable[str]) -> list[str]:
        # No name at all is an optional value that is not there.
        return [name and names.get(name, f"{prefix}{name}") for name in values]

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:], copy.output[:] = renamed(node.input), renamed(node.output)
    for attribute in copy.attribute:
        if attribute.HasField("g"):
            graph = attribute.g
            assert not graph.initializer
            nodes = [_renamed(inner, names, prefix) for inner in graph.node]
            del graph.node[:]
            graph.node.extend(nodes)
            for value in (*graph.input, *graph.output):
                (value.name,) = renamed([value.name])
    return copy
