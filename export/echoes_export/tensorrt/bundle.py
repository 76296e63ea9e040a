"""A bundle whose graphs are those that TensorRT builds, which ONNX Runtime runs as well."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import onnx

from echoes_export.bundle.folder import data_file
from echoes_export.tensorrt.graphs import engine_graph
from echoes_export.tensorrt.qdq_graph import Scales
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.manifest import GraphEntry


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
        BundleError: if ``bundle`` lacks one of the graphs, or is an int8 one.
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
        path = folder / f"{name}.onnx"
        graph = engine_graph(bundle, name, precision, scales, is_emulated=is_emulated)
        onnx.save(graph, path)
        onnx.checker.check_model(path, full_check=True)
        entries[name] = GraphEntry(
            **vars(data_file(path)), precision=precision, external_data=external
        )
    manifest = replace(bundle.manifest, graphs=entries)
    return Bundle(source=folder, folder=folder, manifest=manifest)
