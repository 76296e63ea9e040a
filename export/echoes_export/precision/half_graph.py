"""One ONNX graph from float32 to float16 where that is safe: TensorRT computes as the graph says.

Products and convolutions run in float16. Norms, softmax, sums and transcendental functions stay in
float32, and so does what decides between codes or makes the waveform. All else is float16 where all
that it reads is. The transformer's sum over its blocks begins in float32 and so remains, which
makes its scores four times more exact. Inputs and outputs keep their types.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from echoes_export.precision.int8_graph import drop_unused

_HALF = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

_FULL = frozenset(
    {
        *("BatchNormalization", "InstanceNormalization", "LayerNormalization", "Softmax"),
        *("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "CumSum"),
        *(
            "ArgMax",
            "ArgMin",
            "Cos",
            "Erf",
            "Exp",
            "Log",
            "Pow",
            "Reciprocal",
            "Sin",
            "Sqrt",
            "Tanh",
        ),
        *("QuantizeLinear", "DequantizeLinear"),
    }
)

_FULL_WEIGHTS = (
    # An int8 product has its own precision, and gives float32.
    ".int8",
    # The nearest code is a decision.
    "quantize.embedding.",
    # A phase of 10 rad is off by 0.005 in float16, which is noise at -46 dB.
    *("vocoder.head.", "bin_weight"),
)
"""Parts of the names of weights whose readers compute in float32."""

_FULL_NODES = "sampler."
"""How the values of nodes begin that draw tokens."""

_SMALL = 1024
"""Entries of a constant that is stored again in float16 rather than cast."""

# Inputs that are float32 whatever the others are, by place.
_FIXED_INPUTS = {"Resize": (1, 2), "QuantizeLinear": (1,), "DequantizeLinear": (1,)}


def half_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model without graphs inside its nodes."""
    halver = _Halver.of(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        halver.add(node)
    nodes = [*halver.nodes, *halver.outputs(copy.graph)]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.extend(halver.new)
    drop_unused(copy.graph)
    return copy


@dataclass(kw_only=True)
class _Halver:
    """Copies nodes one by one and knows in which types each value is there.

    Attributes:
        halves: the name of the float16 form of a value, where there is one.
        fulls: of the float32 form.
        natives: values that are float16 by themselves.
        constants: values that depend on no input, with the weights behind them.
        new: initializers that the graph gets.
    """

    floats: frozenset[str]
    initializers: dict[str, TensorProto]
    constants: dict[str, frozenset[str]]
    halves: dict[str, str] = field(default_factory=dict)
    fulls: dict[str, str] = field(default_factory=dict)
    natives: set[str] = field(default_factory=set)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    new: list[TensorProto] = field(default_factory=list)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> "_Halver":
        graph = onnx.shape_inference.infer_shapes(model).graph
        values = (*graph.value_info, *graph.input, *graph.output)
        kinds = {value.name: value.type.tensor_type.elem_type for value in values}
        kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
        halves = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16}
        return cls(
            floats=frozenset(n for n, kind in kinds.items() if kind == TensorProto.FLOAT) | halves,
            initializers={tensor.name: tensor for tensor in graph.initializer},
            constants={tensor.name: frozenset({tensor.name}) for tensor in graph.initializer},
            halves={name: name for name in halves},
            natives=halves,
        )

    def add(self, node: onnx.NodeProto) -> None:
        weights = [self.constants.get(name) for name in node.input if name]
        if all(found is not None for found in weights):
            behind = frozenset[str]().union(*(found or () for found in weights))
            self.constants |= dict.fromkeys(node.output, behind)
        if self._is_cast_of_stored(node):
            source, output = node.input[0], node.output[0]
            self.halves[output], self.fulls[output] = source, output
            self.natives.add(output)
            self.nodes.append(node)
            return
        is_half = self._is_half(node)
        fixed = _FIXED_INPUTS.get(node.op_type, ())
        for place, name in enumerate(node.input):
            if name in self.floats:
                node.input[place] = self._form(name, is_half=is_half and place not in fixed)
        for place, name in enumerate(node.output):
            if is_half and name in self.floats:
                self.natives.add(name)
                self.halves[name] = node.output[place] = f"{name}.half"
        self.nodes.append(node)

    def outputs(self, graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
        """Casts of outputs that were float32 and are computed in float16."""
        for value in graph.output:
            if value.name in self.halves and value.name not in self.fulls:
                yield helper.make_node(
                    "Cast", [self.halves[value.name]], [value.name], to=TensorProto.FLOAT
                )

    def _is_cast_of_stored(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "Cast" or node.input[0] not in self.initializers:
            return False
        return self.initializers[node.input[0]].data_type == TensorProto.FLOAT16

    def _is_half(self, node: onnx.NodeProto) -> bool:
        if not self.floats.intersection(node.output) or node.op_type in _FULL:
            return False
        if node.output[0].startswith(_FULL_NODES):
            return False
        # A constant says nothing about the precision of what it meets, unless it is a weight that
        # must not be rounded.
        behind = [self.constants[name] for name in node.input if name in self.constants]
        if any(part in name for found in behind for name in found for part in _FULL_WEIGHTS):
            return False
        if node.op_type == "Cast":  # to float32, as the module says
            return False
        if node.op_type in _HALF:
            return True
        read = [name for name in node.input if name in self.floats]
        if node.output[0] not in self.constants:
            read = [name for name in read if name not in self.constants]
        return bool(read) and all(name in self.natives for name in read)

    def _form(self, name: str, *, is_half: bool) -> str:
        if not is_half:
            if name not in self.natives:
                return name
            if name not in self.fulls:
                self.fulls[name] = f"{name}.full"
                self._cast(self.halves[name], self.fulls[name], TensorProto.FLOAT)
            return self.fulls[name]
        if name not in self.halves:
            self.halves[name] = f"{name}.half"
            tensor = self.initializers.get(name)
            is_inside = tensor is not None and tensor.data_location != TensorProto.EXTERNAL
            if tensor is not None and is_inside and np.prod(tensor.dims) <= _SMALL:
                with np.errstate(over="ignore"):  # what masks becomes -inf
                    array = numpy_helper.to_array(tensor).astype(np.float16)
                self.new.append(numpy_helper.from_array(array, self.halves[name]))
            else:
                self._cast(name, self.halves[name], TensorProto.FLOAT16)
        return self.halves[name]

    def _cast(self, source: str, target: str, kind: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], to=kind))
