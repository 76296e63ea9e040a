"""What ONNX Runtime itself says of every node that it ran."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echoes_rt.backends.base import Session
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.engine import Engine
from echoes_rt.profile.flop import node_flop


@dataclass(frozen=True, kw_only=True)
class NodeRun:
    """One run of one node, in nanoseconds of ``time.perf_counter_ns``.

    Attributes:
        provider: the execution provider that ran it.
        flop: 0 unless the engine counts.
        has_body: it ran other nodes, whose time is in its own.
    """

    graph: str
    name: str
    op_type: str
    provider: str
    start_ns: int
    ns: int
    flop: int
    has_body: bool


class WatchedEngine(Engine):
    """An engine whose graphs keep ONNX Runtime's own profile.

    Counting needs the shapes of the weights, which ONNX Runtime forgets when it packs them for its
    kernels. Unpacked weights make a run slower: count with one engine, take times with another.
    """

    _folder: Path
    _is_counting: bool

    @classmethod
    def beside(cls, engine: Engine, folder: Path, *, is_counting: bool) -> "WatchedEngine":
        """A second engine of the same bundle and device; ``folder`` gets the profiles."""
        watched = cls(engine.bundle, engine.choice, engine._threads)
        watched._folder, watched._is_counting = folder, is_counting
        return watched

    def node_runs(self) -> list[NodeRun]:
        """Of all graphs since they were loaded; their profiles end with it."""
        # The clock of ONNX Runtime is the system's on Linux and a monotonic one elsewhere.
        offsets = (time.time_ns() - time.perf_counter_ns(), 0)
        runs = []
        for name, session in self._sessions.items():
            assert isinstance(session, OnnxSession)
            path, start_ns = session.end_profile()
            now = time.perf_counter_ns()
            start_ns = min(
                (start_ns - offset for offset in offsets), key=lambda start: abs(now - start)
            )
            runs += _read(path, name, start_ns, is_counting=self._is_counting)
        return runs

    def _session(self, name: str) -> Session:
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = OnnxSession(
                    self.bundle.graph_path(name),
                    self.manifest.graphs[name].signature,
                    self.choice.device,
                    self._threads,
                    profile=self._folder / name,
                    is_packing=not self._is_counting,
                )
            return self._sessions[name]


def _read(path: Path, graph: str, start_ns: int, *, is_counting: bool) -> list[NodeRun]:
    events = json.loads(path.read_text(encoding="utf-8"))
    nodes = [event for event in events if event.get("cat") == "Node" and event["args"]]
    return [_node_run(event, graph, start_ns, is_counting=is_counting) for event in nodes]


def _node_run(event: dict[str, Any], graph: str, start_ns: int, *, is_counting: bool) -> NodeRun:
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
        start_ns=start_ns + event["ts"] * 1000,
        ns=event["dur"] * 1000,
        flop=flop,
        has_body=op_type in ("Loop", "If", "Scan"),
    )
