"""Graphs that compute in float16, for GPUs, in a bundle that already has them in float32."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from echoes_export.bundle.folder import changing, saved_graph
from echoes_export.precision.half_graph import half_graph
from echoes_rt.backends.base import Arrays
from echoes_rt.backends.device import HALF_KINDS, parse_device
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError, InputError
from echoes_rt.format.graphs import BATCH, DRAWN, FRAMES, GUIDED, HALF, SEEN
from echoes_rt.format.manifest import MANIFEST_NAME, GraphEntry, Manifest
from echoes_rt.model import Model

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


ROUNDS = 20
_WARM_UP = 2


def faster(whole: Bundle, half: Bundle, device: str, say: Callable[[str], None]) -> Collection[str]:
    """Those of ``half`` that ``device`` runs faster than those of ``whole``; tells of each.

    Raises:
        InputError: if that device never runs graphs in float16.
        BackendError: if it cannot be used.
    """
    if parse_device(device).kind not in HALF_KINDS:
        raise InputError(
            f"device must be {' or '.join(HALF_KINDS)}, which run float16 graphs, got {device!r}"
        )
    first, second = (Model.load(bundle, device=device) for bundle in (whole, half))
    found = speeds(first, second, ROUNDS)
    for name, (whole_ms, half_ms) in found.items():
        verdict = "kept" if half_ms < whole_ms else "left out"
        say(f"{name}: {whole_ms:.3f} ms, in float16 {half_ms:.3f} ms; {verdict}")
    return {name for name, (whole_ms, half_ms) in found.items() if half_ms < whole_ms}


def speeds(whole: Model, half: Model, rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each graph of ``half`` in both, for one sound or one picture.

    In turns, so that both meet the same machine.
    """
    found = {}
    for name in half.manifest.graphs:
        sessions = [model.session(name) for model in (whole, half)]
        asked = _question(half, name)
        taken: list[list[float]] = [[], []]
        for _ in range(_WARM_UP + rounds):
            for session, times in zip(sessions, taken, strict=True):
                start = time.perf_counter()
                session.run(asked)
                times.append((time.perf_counter() - start) * 1000)
        first, second = (float(np.median(times[_WARM_UP:])) for times in taken)
        found[name] = first, second
    return found


def _question(model: Model, name: str) -> Arrays:
    """Of the usual size; how long a graph takes does not depend on the numbers."""
    tokens, steps = model.manifest.tokens, model.manifest.sampling.steps
    n_tokens = max(grid.n_tokens for grid in tokens.grids.values())
    frames = model.manifest.mel.n_frames
    sizes = {
        **dict.fromkeys((BATCH, SEEN, GUIDED), 1),
        **{DRAWN: -(-n_tokens // steps), FRAMES: frames},
    }
    return {
        key: np.zeros([d if isinstance(d, int) else sizes[d] for d in spec.shape], spec.dtype)
        for key, spec in model.session(name).inputs.items()
    }
