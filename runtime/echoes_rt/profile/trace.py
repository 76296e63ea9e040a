"""A generation as a trace for Perfetto or chrome://tracing."""

import json
from pathlib import Path

from echoes_rt.io.output_file import written
from echoes_rt.profile.work import Generation

_STAGES, _STEPS, _NODES = 1, 2, 3


def trace_events(generation: Generation, process: str) -> list[dict[str, object]]:
    """Complete events ("X") in microseconds since the generation began, and names of the rows."""
    start = min(span.start_ns for span in generation.spans)

    def event(name: str, row: int, start_ns: int, ns: int, **args: object) -> dict[str, object]:
        times = {"ts": (start_ns - start) / 1000, "dur": ns / 1000}
        return {"name": name, "ph": "X", "pid": 1, "tid": row, **times, "args": args}

    rows = {_STAGES: "stages", _STEPS: "steps", _NODES: "nodes"}
    events: list[dict[str, object]] = [
        {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": process}},
        *(
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": row, "args": {"name": name}}
            for row, name in rows.items()
        ),
    ]
    for span in generation.spans:
        row = _STEPS if span.name.startswith("step ") else _STAGES
        events.append(event(span.name, row, span.start_ns, span.stop_ns - span.start_ns))
    for node in generation.nodes:
        place = {"graph": node.graph, "node": node.name, "provider": node.provider}
        events.append(event(node.op_type, _NODES, node.start_ns, node.ns, **place))
    return events


def write_trace(path: Path, generation: Generation, process: str) -> None:
    """Raises InputError if the file cannot be written."""
    document = {"displayTimeUnit": "ms", "traceEvents": trace_events(generation, process)}
    with written(path) as partial:
        partial.write_text(json.dumps(document) + "\n", encoding="utf-8")
