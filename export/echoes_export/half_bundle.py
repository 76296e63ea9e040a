"""Graphs that compute in float16, for GPUs, in a bundle that already has them in float32."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from echoes_export.bundle_folder import appearing, data_file
from echoes_export.checks import Array, Check, snr_db
from echoes_export.half_graph import half_graph
from echoes_export.step_graph import decode_step_graph
from echoes_rt.backends.bound import BoundStep
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.decode import resident
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import known_media, make_plan
from echoes_rt.engine import Engine
from echoes_rt.errors import BundleError, InputError
from echoes_rt.image import load_image
from echoes_rt.spec.graphs import HALF, graph_specs
from echoes_rt.spec.manifest import MANIFEST_NAME, GraphEntry, Manifest

GRAPHS = (
    *("image_encoder", "image_decoder", "mel_encoder", "mel_decoder", "vocoder"),
    *("step", "decode_step"),
)
"""Those without control flow: with it, ONNX Runtime's GPUs lose more than float16 gains."""


def add_half_graphs(folder: Path, *, accept: Callable[[Path], None]) -> Manifest:
    """Writes them beside the others, with the same weights; all else stays as it is.

    Args:
        folder: of the bundle, which changes as a whole or not at all.
        accept: is given the finished folder before it takes the old one's place; may refuse it.

    Raises:
        BundleError: if the bundle is damaged, or an int8 one.
        InputError: if it cannot be written.
    """
    bundle = Bundle.open(folder)
    if bundle.folder != bundle.source:
        raise InputError(f"{folder} is a zip; unpack it and give the folder")
    graphs = bundle.manifest.graphs
    if any(entry.precision == "int8" for entry in graphs.values()):
        raise BundleError(
            f"bundle {bundle.manifest.name} computes in int8 for CPUs; give the bundle that it was "
            "quantized from"
        )
    with appearing(folder) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        entries = {
            f"{name}{HALF}": _write(partial, bundle, name) for name in GRAPHS if name in graphs
        }
        manifest = replace(bundle.manifest, graphs=graphs | entries)
        manifest.write(partial / MANIFEST_NAME)
        accept(partial)
    return manifest


def _write(folder: Path, bundle: Bundle, name: str) -> GraphEntry:
    path = folder / f"{name}{HALF}.onnx"
    onnx.save(_half(bundle, name), path)
    onnx.checker.check_model(path, full_check=True)
    file = data_file(path)
    return replace(
        bundle.manifest.graphs[name],
        file=file.file,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        precision="fp16",
    )


def _half(bundle: Bundle, name: str) -> onnx.ModelProto:
    if name != "decode_step":
        return half_graph(onnx.load(bundle.graph_path(name), load_external_data=False))
    # Around the transformer, tokens are drawn and ranked in float64 as ever.
    manifest = bundle.manifest
    spec = graph_specs(manifest.image, manifest.mel, manifest.tokens)[name]
    return decode_step_graph(_half(bundle, "step"), spec, manifest.tokens)


def half_effect(bundle: Bundle, pictures: list[Array]) -> list[Check]:
    """How far float16 moves what each graph gives, run by ONNX Runtime on the CPU.

    Args:
        bundle: of ``add_half_graphs``.
        pictures: (H, W, 3) uint8, of any size.

    Raises:
        InputError: if a network leaves the range of float16.
    """
    engine, layout = Engine.load(bundle, device="cpu"), bundle.manifest.tokens
    rng = np.random.default_rng(0)
    count = len(pictures)
    pixels = np.concatenate([load_image(picture, bundle.manifest.image) for picture in pictures])
    image = _run(bundle, "image_encoder", {"image": pixels})
    shape = (count, layout.audio.n_tokens)
    audio = rng.integers(0, layout.audio.codebook_size, shape, dtype=np.int32)
    mel = engine.decode_mel(audio)
    unknown = np.full(audio.shape, layout.mask_token_id, dtype=np.int32)
    tokens = np.concatenate([image, unknown], axis=1)
    asked = {
        "image_encoder": {"image": pixels},
        "image_decoder": {"codes": image},
        "mel_encoder": {"mel": mel},
        "mel_decoder": {"codes": audio},
        "vocoder": {"mel": mel},
        "step": {"tokens": tokens},
    }
    checks = []
    for name in (name for name in GRAPHS if name in asked and name in bundle.manifest.graphs):
        full, half = (_run(bundle, graph, asked[name]) for graph in (name, f"{name}{HALF}"))
        if not np.isfinite(half[np.isfinite(full)]).all():
            raise InputError(f"{name} leaves the range of float16; the bundle stays as it was")
        if half.dtype == np.int32:
            checks.append(_check(name, "equal codes", float((full == half).mean())))
        else:
            scores = np.isfinite(full)
            checks.append(_check(name, "SNR, dB", snr_db(full[scores], half[scores])))
    if f"decode_step{HALF}" in bundle.manifest.graphs:
        full, half = (
            _drawn(bundle, name, tokens) for name in ("decode_step", f"decode_step{HALF}")
        )
        share = float((full == half)[tokens == layout.mask_token_id].mean())
        checks.append(_check("decode_step", "equal tokens of one step", share))
    return checks


def _drawn(bundle: Bundle, graph: str, tokens: Array) -> Array:
    """All unknown tokens drawn at once: none that differs makes others differ."""
    layout, sampling = bundle.manifest.tokens, replace(bundle.manifest.sampling, steps=1)
    step = BoundStep(bundle.graph_path(graph), bundle.manifest.graphs[graph].signature, "cpu")
    mask = tokens == layout.mask_token_id
    noise = uniforms(range(len(tokens)), 1, layout.n_tokens)
    return resident.decode(
        step,
        *(tokens, mask, make_plan(mask, sampling), noise),
        condition=known_media(mask, layout),
        mask_token_id=layout.mask_token_id,
    )


def _run(bundle: Bundle, graph: str, inputs: dict[str, Array]) -> Array:
    signature = bundle.manifest.graphs[graph].signature
    session = OnnxSession(bundle.graph_path(graph), signature, "cpu")
    return next(iter(session.run(inputs).values()))


def _check(graph: str, metric: str, value: float) -> Check:
    return Check(graph=graph, metric=metric, value=value, limit=None)
