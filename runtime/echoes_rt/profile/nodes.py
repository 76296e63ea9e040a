"""What ONNX Runtime itself says of every node that it ran, and the work in each."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from echoes_rt.backends.base import WatchedSession
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.session_start import SessionDials
from echoes_rt.nvidia.bound import BoundStep

Event = dict[str, Any]
Shape = Sequence[int]

# Where each product has its second factor. Quantized ones have a scale and a zero point in between.
_MATRIX_PRODUCTS = {
    "MatMul": 1,
    "FusedMatMul": 1,
    "Gemm": 1,
    "FusedGemm": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "QLinearMatMul": 3,
    "QGemm": 3,
}
_CONVOLUTIONS = {
    "Conv": 1,
    "FusedConv": 1,
    "NhwcFusedConv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
}
_TRANSPOSED = {"ConvTranspose": 1}


def node_flop(op_type: str, inputs: Sequence[Shape], output: Shape) -> int:
    """Two operations for each multiplication and addition of a product; 0 for all other operators.

    Products are all but a few percent of a network's work, and what a GEMM's peak speaks of.

    Args:
        op_type: ONNX's or ONNX Runtime's own, which fuses and quantizes.
        inputs: of every input, the constants too.
        output: of the first output.
    """
    if op_type in _MATRIX_PRODUCTS:
        rows, columns = inputs[_MATRIX_PRODUCTS[op_type]][-2:]
        # Either may be transposed; the width of the output says which is the inner one.
        return 2 * math.prod(output) * (rows * columns // output[-1])
    if op_type in _CONVOLUTIONS:
        return 2 * math.prod(output) * math.prod(inputs[_CONVOLUTIONS[op_type]][1:])
    if op_type in _TRANSPOSED:
        return 2 * math.prod(inputs[0]) * math.prod(inputs[_TRANSPOSED[op_type]][1:])
    return 0


@dataclass(frozen=True, kw_only=True)
class NodeRun:
    """One run of one node, in nanoseconds of ``time.perf_counter_ns``.

    Attributes:
        provider: the execution provider that ran it.
        call_ns: when the graph was called.
        flop: 0 unless the model counts.
        has_body: it ran other nodes, whose time is in its own.
    """

    graph: str
    name: str
    op_type: str
    provider: str
    call_ns: int
    start_ns: int
    ns: int
    flop: int
    has_body: bool


class NodeWatcher:
    """Has ONNX Runtime write its own profile of every graph of a model; for one thread.

    Counting needs the shapes of the weights, which ONNX Runtime forgets when it packs them for its
    kernels. Unpacked weights make a run slower: count with one model, take times with another.
    """

    def __init__(self, folder: Path, *, is_counting: bool) -> None:
        """``folder`` gets the profiles."""
        self._folder = folder
        self._is_counting = is_counting
        self._sessions: dict[str, OnnxSession | BoundStep] = {}
        self._calls_ns: dict[str, list[int]] = {}

    def dials(self, graph: str, device: str, dials: SessionDials) -> SessionDials:
        return replace(dials, profile=self._folder / graph, is_packing=not self._is_counting)

    def loaded(self, graph: str, session: WatchedSession) -> None:
        # TensorRT has no nodes left to tell of.
        if isinstance(session, OnnxSession | BoundStep):
            # ONNX Runtime's own clock is another, and may be set anew.
            calls_ns = self._calls_ns[graph] = []
            session.around = lambda: _noted(calls_ns)
            self._sessions[graph] = session

    def node_runs(self) -> list[NodeRun]:
        """Of all graphs since they were loaded; their profiles end with it."""
        runs = []
        for graph, session in self._sessions.items():
            events = json.loads(session.end_profile().read_text(encoding="utf-8"))
            runs += _read(events, graph, self._calls_ns[graph], is_counting=self._is_counting)
        return runs


@contextmanager
def _noted(calls_ns: list[int]) -> Iterator[None]:
    calls_ns.append(time.perf_counter_ns())
    yield


def _read(
    events: list[Event], graph: str, calls_ns: list[int], *, is_counting: bool
) -> list[NodeRun]:
    """The nodes of each call; ONNX Runtime notes a call after its nodes, in the order of calls."""
    runs: list[NodeRun] = []
    nodes: list[Event] = []
    calls = iter(calls_ns)
    for event in events:
        if event.get("cat") == "Node" and event["args"]:
            nodes.append(event)
        elif event["name"] == "model_run":
            call_ns = next(calls)
            shift_ns = call_ns - event["ts"] * 1000
            runs += [
                _node_run(node, graph, call_ns, shift_ns, is_counting=is_counting) for node in nodes
            ]
            nodes = []
    return runs


def _node_run(
    event: Event, graph: str, call_ns: int, shift_ns: int, *, is_counting: bool
) -> NodeRun:
    args = event["args"]
    op_type = args["op_name"]
    flop = 0
    if is_counting:
        inputs, outputs = (
            [shape for entry in args[f"{side}_type_shape"] for shape in entry.values()]
            for side in ("input", "output")
        )
        flop = node_flop(op_type, inputs, outputs[0] if outputs else ())
    return NodeRun(
        graph=graph,
        name=event["name"].removesuffix("_kernel_time"),
        op_type=op_type,
        provider=args["provider"],
        call_ns=call_ns,
        start_ns=shift_ns + event["ts"] * 1000,
        ns=event["dur"] * 1000,
        flop=flop,
        has_body=op_type in ("Loop", "If", "Scan"),
    )
