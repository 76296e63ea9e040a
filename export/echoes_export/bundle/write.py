"""Models to a bundle's folder: weights, graphs, manifest and model card."""

import re
from collections.abc import Callable
from pathlib import Path

import onnx

from echoes_export.bundle.about import About
from echoes_export.bundle.folder import appearing, check_free, data_file, saved_graph
from echoes_export.bundle.models import Models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, StoredTensor, write_weights
from echoes_export.graphs.decode_graphs import logits_graph, loop_graph, step_graph
from echoes_export.graphs.onnx_graph import export_graph, has_weights
from echoes_export.graphs.wrappers import graph_parts, network_part
from echoes_rt.bundle import CARD_NAME
from echoes_rt.format.manifest import MANIFEST_NAME, GraphEntry, Manifest
from echoes_rt.format.tokens import MEDIA

Graphs = dict[str, onnx.ModelProto]


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
    made = bundle_graphs(models, stored, is_folded=about.sampling.is_folded)
    graphs = _write_graphs(folder, made, weights)
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
    if about.base_card:  # its attributions are conditions of its licence
        card = f"{card.rstrip()}\n\n## Made from\n\n{_deeper(about.base_card)}"
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    return manifest


def _deeper(card: str) -> str:
    """With every heading two levels lower."""
    return re.sub(r"^(?=#{1,4} )", "##", card, flags=re.MULTILINE)


def _write_graphs(folder: Path, graphs: Graphs, precision: str) -> dict[str, GraphEntry]:
    shared = data_file(folder / WEIGHTS_NAME)
    entries = {}
    for name, graph in graphs.items():
        file = saved_graph(folder / f"{name}.onnx", graph)
        external = (shared,) if has_weights(graph) else ()
        entries[name] = GraphEntry(**vars(file), precision=precision, external_data=external)
    return entries


def generated_card(manifest: Manifest, models: Models) -> str:
    """Markdown; says what is known here and nothing of quality, which only evaluation knows."""
    image, mel, tokens, sampling = (
        manifest.image,
        manifest.mel,
        manifest.tokens,
        manifest.sampling,
    )
    sizes = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in models.modules.items()
    }
    parts = "\n".join(f"| {name} | {size / 1e6:.2f} M |" for name, size in sizes.items())
    precision = manifest.graphs["image_encoder"].precision
    return f"""# {manifest.name}

A bundle of echoes-rt: it looks at a picture and makes the sound that belongs to it.

- Licence: {manifest.license}
- Made by: {manifest.created_by}
- Picture: {image.height} x {image.width}, {tokens.image.height} x {tokens.image.width} codes
- Sound: {mel.duration_s:.2f} s at {mel.sample_rate} Hz, {tokens.audio.height} x \
{tokens.audio.width} codes
- Sampling: {sampling}
- Weights: {precision}, computed in fp32
- Knows: {manifest.knows or "not recorded"}

| model | parameters |
| --- | --- |
{parts}
"""


def bundle_graphs(
    models: Models, stored: dict[str, StoredTensor], *, is_folded: bool = False
) -> Graphs:
    """One of every module, and those of decoding for either target; weights by reference.

    ``is_folded`` is as in ``step_graph``.
    """
    graphs = {
        name: export_graph(name, part.module, part.signature, stored)
        for name, part in graph_parts(models).items()
    }
    for target in MEDIA:
        grid = models.layout.grids[target]
        part = network_part(models, target)
        network = export_graph("network", part.module, part.signature, stored)
        step = step_graph(f"decode_{target}_step", network, grid, is_folded=is_folded)
        graphs |= {
            f"logits_{target}": logits_graph(f"logits_{target}", network, grid),
            f"decode_{target}_step": step,
            f"decode_{target}": loop_graph(f"decode_{target}", step),
        }
    return graphs
