"""Models to a bundle's folder: weights, graphs, manifest and model card."""

from collections.abc import Callable
from pathlib import Path

import onnx

from echoes_export.bundle.about import About
from echoes_export.bundle.folder import CARD_NAME, appearing, check_free, data_file
from echoes_export.bundle.model_card import generated_card
from echoes_export.bundle.models import Models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, write_weights
from echoes_export.graphs.bundle_graphs import Graphs, bundle_graphs
from echoes_export.graphs.onnx_graph import has_weights
from echoes_rt.format.manifest import MANIFEST_NAME, GraphEntry, Manifest


def write_bundle(
    out: Path,
    models: Models,
    about: About,
    *,
    weights: str,
    accept: Callable[[Path], None],
    overwrite: bool = False,
) -> Manifest:
    """Writes a bundle that appears at ``out`` whole or not at all.

    Args:
        out: the folder to make.
        models: with the weights as they shall be stored (``precision.rounded``).
        about: the rest of the manifest.
        weights: fp16 or fp32.
        accept: is given the finished folder before it gets its name; may raise to refuse it.
        overwrite: whether an older bundle may lie at ``out``.

    Raises:
        InputError: if ``out`` is taken or cannot be written.
    """
    check_free(out, overwrite)
    with appearing(out) as partial:
        manifest = _fill(partial, models, about, weights)
        accept(partial)
    return manifest


def _fill(folder: Path, models: Models, about: About, weights: str) -> Manifest:
    stored = write_weights(folder / WEIGHTS_NAME, models, weights)
    graphs = _write_graphs(folder, bundle_graphs(models, stored), weights)
    manifest = Manifest(
        name=about.name,
        license=about.license,
        created_by=about.created_by,
        description=about.description,
        labels=about.labels,
        image=models.image,
        mel=models.mel,
        tokens=models.layout,
        sampling=about.sampling,
        graphs=graphs,
    )
    manifest.write(folder / MANIFEST_NAME)
    card = about.card or generated_card(manifest, models)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    return manifest


def _write_graphs(folder: Path, graphs: Graphs, precision: str) -> dict[str, GraphEntry]:
    shared = data_file(folder / WEIGHTS_NAME)
    entries = {}
    for name, graph in graphs.items():
        path = folder / f"{name}.onnx"
        onnx.save(graph, path)
        onnx.checker.check_model(path, full_check=True)
        file = data_file(path)
        entries[name] = GraphEntry(
            file=file.file,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            precision=precision,
            external_data=(shared,) if has_weights(graph) else (),
        )
    return entries
