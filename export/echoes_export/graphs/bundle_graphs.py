"""All graphs of a bundle."""

import onnx

from echoes_export.bundle.models import Models
from echoes_export.bundle.weights_file import StoredTensor
from echoes_export.graphs.decode_graphs import logits_graph, loop_graph, step_graph
from echoes_export.graphs.onnx_graph import export_graph
from echoes_export.graphs.wrappers import graph_parts, network_part
from echoes_rt.format.tokens import MEDIA

Graphs = dict[str, onnx.ModelProto]


def bundle_graphs(models: Models, stored: dict[str, StoredTensor]) -> Graphs:
    """One of every module, and those of decoding for either target; weights by reference."""
    graphs = {
        name: export_graph(name, part.module, part.signature, stored)
        for name, part in graph_parts(models).items()
    }
    for target in MEDIA:
        grid = models.layout.grids[target]
        part = network_part(models, target)
        network = export_graph("network", part.module, part.signature, stored)
        step = step_graph(f"decode_{target}_step", network, grid)
        graphs |= {
            f"logits_{target}": logits_graph(f"logits_{target}", network, grid),
            f"decode_{target}_step": step,
            f"decode_{target}": loop_graph(f"decode_{target}", step),
        }
    return graphs
