"""All graphs of a bundle."""

import onnx

from echoes_export.fused_chain import image_to_audio_graph
from echoes_export.fused_loop import decode_graph, scores_signature
from echoes_export.models import Models
from echoes_export.onnx_graph import export_graph
from echoes_export.step_graph import decode_step_graph
from echoes_export.weights_file import StoredTensor
from echoes_export.wrappers import Scores, graph_modules
from echoes_rt.spec.graphs import graph_specs

Graphs = dict[str, onnx.ModelProto]


def bundle_graphs(models: Models, stored: dict[str, StoredTensor]) -> Graphs:
    """One of every module, and the fused ones; weights by reference."""
    specs = graph_specs(models.image, models.mel, models.layout)
    parts = {
        name: export_graph(name, module, specs[name], stored)
        for name, module in graph_modules(models).items()
    }
    return parts | fused_graphs(models, stored, parts)


def fused_graphs(models: Models, stored: dict[str, StoredTensor], parts: Graphs) -> Graphs:
    """``decode``, ``decode_step``, and ``image_to_audio``, which joins the first to ``parts``."""
    specs = graph_specs(models.image, models.mel, models.layout)
    signature = scores_signature(models.layout)
    scores = export_graph("scores", Scores(models.transformer).eval(), signature, stored)
    decode = decode_graph(scores, specs["decode"], models.layout)
    chain = image_to_audio_graph(parts | {"decode": decode}, specs["image_to_audio"], models.layout)
    step = decode_step_graph(parts["step"], specs["decode_step"], models.layout)
    return {"decode": decode, "decode_step": step, "image_to_audio": chain}
