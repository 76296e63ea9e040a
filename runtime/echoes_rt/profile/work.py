"""How much each stage computes, where, and on what its time goes."""

from collections import Counter
from dataclasses import dataclass, replace

from echoes_rt.backends.provider import CPU_PROVIDER
from echoes_rt.io.leftovers import ScratchFolder
from echoes_rt.model import Model
from echoes_rt.profile.nodes import NodeRun, NodeWatcher
from echoes_rt.profile.stages import STAGE_OF, Question, Span, generate


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation under watch: its stages, the whole last, and every node that ran."""

    spans: list[Span]
    nodes: list[NodeRun]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What one execution provider ran of a graph.

    Attributes:
        nodes: how many different ones.
        share: of the time of the graph's nodes; None where another device than the CPU ran some:
            ONNX Runtime then tells how long the host took to launch them.
        operators: their kinds.
    """

    nodes: int
    share: float | None
    operators: list[str]


@dataclass(frozen=True, kw_only=True)
class GraphWork:
    """What of a graph ran where.

    Attributes:
        providers: by the execution provider's name.
        time_by_operator: shares of the time of its nodes by their kind, the largest first; empty
            where another device than the CPU ran some.
    """

    providers: dict[str, Provider]
    time_by_operator: dict[str, float]


def watch(model: Model, question: Question, *, is_counting: bool) -> Generation:
    """Generates once, with the model's bundle and device, under ONNX Runtime's own profiler.

    Args:
        model: is left alone: the profiler slows a model down.
        question: what is generated.
        is_counting: whether nodes are to know their FLOP; their times are then of no use.
    """
    with ScratchFolder() as folder:
        watcher = NodeWatcher(folder, is_counting=is_counting)
        watched = model.beside(watcher)
        out = folder / question.out.name
        if not is_counting:
            generate(watched, replace(question, out=out))
        spans = generate(watched, replace(question, out=out))
        nodes = watcher.node_runs()
    # What ran before, ran to warm up.
    total = spans[-1]
    return Generation(spans=spans, nodes=[n for n in nodes if n.call_ns >= total.start_ns])


def stage_flop(counted: Generation) -> dict[str, int]:
    """FLOP of each stage, and of each step where the steps are apart."""
    flop: Counter[str] = Counter()
    for span in counted.spans[:-1]:
        flop[span.name] = sum(
            n.flop for n in counted.nodes if span.start_ns <= n.call_ns < span.stop_ns
        )
    flop[counted.spans[-1].name] = sum(flop[stage] for stage in set(STAGE_OF.values()))
    return {span.name: flop[span.name] for span in counted.spans}


def graph_work(watched: Generation) -> dict[str, GraphWork]:
    """Of each graph that ran."""
    return {graph: _work(watched, graph) for graph in dict.fromkeys(n.graph for n in watched.nodes)}


def _work(watched: Generation, graph: str) -> GraphWork:
    nodes = [node for node in watched.nodes if node.graph == graph and not node.has_body]
    is_timed = all(node.provider == CPU_PROVIDER for node in nodes)
    total = sum(node.ns for node in nodes) or 1
    providers = {}
    for provider in sorted({node.provider for node in nodes}):
        run = [node for node in nodes if node.provider == provider]
        providers[provider] = Provider(
            nodes=len({node.name for node in run}),
            share=sum(node.ns for node in run) / total if is_timed else None,
            operators=sorted({node.op_type for node in run}),
        )
    times: Counter[str] = Counter()
    for node in nodes if is_timed else ():
        times[node.op_type] += node.ns
    shares = {op_type: ns / total for op_type, ns in times.most_common()}
    return GraphWork(providers=providers, time_by_operator=shares)
