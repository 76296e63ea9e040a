"""The graphs of a bundle as TensorRT builds them, which ONNX Runtime runs as well.

Those that decode always have a context.
"""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import onnx

from echoes_export.bundle.folder import saved_graph
from echoes_export.graphs.decode_graphs import loop_graph, single_precision
from echoes_export.precision.half_graph import half_graph
from echoes_export.tensorrt.qdq_graph import Scales, qdq_graph
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.manifest import GraphEntry
from echoes_rt.format.tokens import MEDIA


def write_engine_bundle(
    bundle: Bundle,
    folder: Path,
    names: Iterable[str],
    precision: str,
    scales: Scales | None = None,
    *,
    is_emulated: bool = False,
) -> Bundle:
    """Writes the graphs, and the weights beside them.

    Args:
        bundle: that they are made of.
        folder: an empty one.
        names: of the graphs; the other ones of ``bundle`` are not in the new one.
        precision: fp32, fp16 or int8.
        scales: for int8.
        is_emulated: for ONNX Runtime on the CPU, not for TensorRT (``qdq_graph``).

    Raises:
        BundleError: if ``bundle`` lacks one of the graphs, or is in int8 alone.
    """
    graphs = bundle.manifest.graphs
    missing = [name for name in names if name not in graphs]
    if missing:
        raise BundleError(
            f"bundle {bundle.manifest.name} has no graph {', '.join(missing)}; it has "
            f"{', '.join(graphs)}"
        )
    entries = {}
    for name in names:
        external = graphs[name].external_data
        for part in external:
            if not (folder / part.file).exists():  # a copy: ONNX refuses weights behind links
                shutil.copyfile(bundle.folder / part.file, folder / part.file)
        graph = engine_graph(bundle, name, precision, scales, is_emulated=is_emulated)
        file = saved_graph(folder / f"{name}.onnx", graph)
        entries[name] = GraphEntry(**vars(file), precision=precision, external_data=external)
    manifest = replace(bundle.manifest, graphs=entries)
    return Bundle(source=folder, folder=folder, manifest=manifest)


def engine_graph(
    bundle: Bundle,
    name: str,
    precision: str,
    scales: Scales | None = None,
    *,
    is_emulated: bool = False,
) -> onnx.ModelProto:
    """One graph; weights by reference to the bundle's own weights file.

    Precision is in the graph, since TensorRT's networks are strongly typed.

    Args:
        bundle: of fp32 or fp16 weights.
        name: of docs/format.md.
        precision: fp32, fp16 or int8.
        scales: of what enters the transformer's products, for int8.
        is_emulated: for ONNX Runtime on the CPU (``qdq_graph``).

    Raises:
        BundleError: if the bundle is in int8 alone, whose operators TensorRT does not have.
    """
    if bundle.manifest.is_int8:
        raise BundleError(
            f"bundle {bundle.manifest.name} computes in int8 for CPUs, which TensorRT cannot read; "
            "give the bundle that it was quantized from, and --precision int8 if wanted"
        )
    # The loop is built of the step, so that both say the same.
    part = f"{name}_step" if name.removeprefix("decode_") in MEDIA else name
    model = onnx.load(bundle.graph_path(part), load_external_data=False)
    if scales is not None and name.startswith(("decode_", "logits_")):
        model = qdq_graph(model, scales, bundle.folder, is_emulated=is_emulated)
    if precision != "fp32":
        model = half_graph(model)
    model = single_precision(model)
    return loop_graph(name, model, is_static=True) if part != name else model
