"""Writes a model repository: the bundle's graphs as models, and an ensemble for each direction."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import onnx

from echoes_export.bundle.folder import appearing
from echoes_export.graphs.nodes import signature_of
from echoes_export.triton.config import Step, ensemble_config, model_config
from echoes_export.triton.graphs import batched_decode
from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_rt.format.external_data import external_locations
from echoes_rt.format.graphs import GraphSpec, TensorSpec

DECODERS = ("mel_decoder", "image_decoder", "vocoder")
"""What TensorRT may compute in float16: behind them no code depends on the last bits."""
NEEDED = {
    "image_to_audio": (
        *("image_encoder", "context_image", "decode_audio", "mel_decoder", "vocoder"),
    ),
    "audio_to_image": (
        *("log_mel", "mel_encoder", "context_audio", "decode_image", "image_decoder"),
    ),
}


def write_repository(
    bundle: Bundle, out: Path, *, max_batch: int, tensorrt: bool, overwrite: bool
) -> list[str]:
    """Makes the folder ``out``, which appears whole or not at all; gives the models' names.

    Raises:
        BundleError: if the bundle is damaged.
        InputError: if it can go in neither direction, or ``out`` cannot be written.
    """
    names = bundle.manifest.graphs
    directions = [key for key, graphs in NEEDED.items() if all(g in names for g in graphs)]
    if not directions:
        raise InputError(
            f"bundle {bundle.manifest.name} has the graphs of neither direction: "
            f"{'; '.join(', '.join(graphs) for graphs in NEEDED.values())}"
        )
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already; pass --overwrite or another --out")
    if out.exists() and any(not (path / "config.pbtxt").is_file() for path in out.iterdir()):
        raise InputError(f"{out} exists and is not a model repository; give another --out")
    with appearing(out) as partial:
        made: list[str] = []
        for direction in directions:
            signatures = {}
            for graph in NEEDED[direction]:
                if graph.startswith("context"):
                    continue  # within the graph that decodes
                model = _model(bundle, graph)
                signatures[graph] = signature_of(model)
                text = model_config(
                    graph, signatures[graph], max_batch, tensorrt=tensorrt and graph in DECODERS
                )
                _write(partial / graph, text, model, bundle)
                made.append(graph)
            _write(partial / direction, _ensemble(direction, signatures, bundle, max_batch))
            made.append(direction)
    return made


def _model(bundle: Bundle, graph: str) -> onnx.ModelProto:
    if graph.startswith("decode"):
        return batched_decode(bundle, graph.removeprefix("decode_"))
    return onnx.load(bundle.graph_path(graph), load_external_data=False)


def _ensemble(
    direction: str, signatures: dict[str, GraphSpec], bundle: Bundle, max_batch: int
) -> str:
    """The output of each model is an input of the next; what else they take comes from outside."""
    graphs = list(signatures)
    inputs: dict[str, TensorSpec] = {}
    steps: list[Step] = []
    previous: str | None = None
    for graph in graphs:
        signature = signatures[graph]
        names = {}
        for key, spec in signature.inputs.items():
            if previous is not None and key not in ("uniforms", "noise"):
                names[key] = previous
            else:
                names[key], inputs[key] = key, spec
        (output,) = signature.outputs
        previous = output if graph == graphs[-1] else f"{graph}_{output}"
        steps.append(Step(model=graph, inputs=names, outputs={output: previous}))
    if "samples" in inputs:  # a clip; the graph itself takes any length
        clip = (inputs["samples"].shape[0], bundle.manifest.mel.n_samples)
        inputs["samples"] = replace(inputs["samples"], shape=clip)
    whole = GraphSpec(inputs=inputs, outputs=signatures[graphs[-1]].outputs)
    return ensemble_config(direction, whole, max_batch, steps)


def _write(
    folder: Path, config: str, model: onnx.ModelProto | None = None, bundle: Bundle | None = None
) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    if model is None or bundle is None:
        return  # of an ensemble Triton wants a version without anything in it
    data = model.SerializeToString()
    (version / "model.onnx").write_bytes(data)
    for location in external_locations(data):
        _link(bundle.folder / location, version / location)


def _link(source: Path, target: Path) -> None:
    """The weights once on the disk where that can be; ONNX Runtime wants them beside each graph."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
