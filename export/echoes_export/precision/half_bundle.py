"""Graphs that compute in float16, for GPUs, in a bundle that already has them in float32."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import onnx

from echoes_export.bundle.folder import changing, saved_graph
from echoes_export.precision.half_graph import half_graph
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.graphs import HALF
from echoes_rt.format.manifest import MANIFEST_NAME, GraphEntry, Manifest

GRAPHS = (
    *("image_encoder", "image_decoder", "mel_encoder", "mel_decoder", "vocoder"),
    *("context_image", "context_audio", "logits_image", "logits_audio"),
    *("decode_image_step", "decode_audio_step"),
)
"""Those without control flow: with it, ONNX Runtime's GPUs lose more than float16 gains."""


def add_half_graphs(
    folder: Path,
    choose: Callable[[Bundle, Bundle], Collection[str]] = lambda _, half: half.manifest.graphs,
) -> Manifest:
    """Writes them beside the others, with the same weights; all else stays as it is.

    Args:
        folder: of the bundle, which changes as a whole or not at all.
        choose: is given the bundle without them and with them alone, and names those to keep; may
            refuse.

    Raises:
        BundleError: if the bundle is damaged, or in int8 alone.
        InputError: if it cannot be written.
    """
    bundle = Bundle.open(folder)
    if bundle.manifest.is_int8:
        raise BundleError(
            f"bundle {bundle.manifest.name} computes in int8 for CPUs; give the bundle that it was "
            "quantized from"
        )
    graphs = {n: entry for n, entry in bundle.manifest.graphs.items() if not n.endswith(HALF)}
    with changing(bundle) as partial:
        entries = {name: _write(partial, bundle, name) for name in GRAPHS if name in graphs}
        whole = replace(bundle, manifest=replace(bundle.manifest, graphs=graphs))
        made = replace(bundle.manifest, graphs=entries)
        kept = choose(whole, replace(bundle, folder=partial, manifest=made))
        for name in entries.keys() - kept:
            (partial / entries[name].file).unlink()
        halves = {f"{name}{HALF}": entry for name, entry in entries.items() if name in kept}
        manifest = replace(bundle.manifest, graphs=graphs | halves)
        manifest.write(partial / MANIFEST_NAME)
    return manifest


def _write(folder: Path, bundle: Bundle, name: str) -> GraphEntry:
    graph = half_graph(onnx.load(bundle.graph_path(name), load_external_data=False))
    file = saved_graph(folder / f"{name}{HALF}.onnx", graph)
    return replace(bundle.manifest.graphs[name], **vars(file), precision="fp16")
