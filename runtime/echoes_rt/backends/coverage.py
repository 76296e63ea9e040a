"""Which execution provider a session gave each of its nodes to."""

import logging
from collections import Counter
from typing import Any

from echoes_rt.backends.provider import CPU_PROVIDER
from echoes_rt.errors import BackendError

logger = logging.getLogger(__name__)

RECORDING = "session.record_ep_graph_assignment_info"
"""Session option, before which ``assigned_operators`` knows nothing."""

# Nearly all of a network's work. On the CPU is only what moves shapes and indices.
_WORK = ("MatMul", "Gemm", "Conv", "Attention")


def assigned_operators(session: Any) -> dict[str, Counter[str]] | None:
    """Kinds of operators by execution provider; None where ONNX Runtime does not tell (1.23)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    operators: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        counts = operators.setdefault(part.ep_name, Counter())
        counts.update(node.op_type for node in part.get_nodes())
    return operators


def check_coverage(graph: str, operators: dict[str, Counter[str]] | None, device: str) -> None:
    """Refuses a session that would do its work on the CPU although another device was asked for.

    Args:
        graph: the file's name.
        operators: as ``assigned_operators`` gives them.
        device: what was asked for.

    Raises:
        BackendError: if products or convolutions, or all nodes, lie on the CPU.
    """
    if operators is None:
        logger.info("%s: this ONNX Runtime does not tell which nodes %s runs", graph, device)
        return
    on_cpu = operators.get(CPU_PROVIDER, Counter())
    work = {kind: n for kind, n in on_cpu.items() if any(part in kind for part in _WORK)}
    if work or operators.keys() <= {CPU_PROVIDER}:
        raise BackendError(
            f"{graph} would run on the CPU although {device} was asked for ({_text(work or on_cpu)}"
            "); use a newer ONNX Runtime, or device cpu"
        )
    for name, counts in operators.items():
        logger.info("%s: %s has %d nodes", graph, name, counts.total())
    if on_cpu:
        logger.info("%s: on the CPU are %s", graph, _text(on_cpu))


def _text(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
