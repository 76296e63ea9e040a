"""Writes the fixtures: python tests/make_fixtures.py golden|bundle|confidence|endless PLACE.

``golden`` needs numpy alone, and a test holds its output to the committed files byte by byte.
``bundle`` needs the export extra: what the exporter makes of tiny models with random weights. It is
rebuilt by hand when the format of bundles changes, because the exporter's bytes change with its
version; tests/export holds it to what it puts out.
``confidence`` needs onnx: a graph that the bundle lacks, for tests to add.
``endless`` needs onnx, too: it takes and gives what the tiny bundle's ``image_encoder`` does, and
never ends; PLACE is the file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from echoes_rt.decode.noise import MEL_STREAM, uniforms
from echoes_rt.decode.plan import make_plan
from echoes_rt.format.manifest import MANIFEST_NAME, Manifest
from echoes_rt.format.mel import MelSpec, mel_filterbank
from echoes_rt.format.sampling import Sampling, num_masked
from echoes_rt.format.tokens import Grid

MEL = MelSpec(
    n_fft=256, win_length=256, hop_length=64, n_mels=16, f_min=0.0, f_max=8000.0, n_frames=32
)
SAMPLING = Sampling(steps=4, guidance_scale=2.0, temperature=1.0)

GOLDEN_SEEDS = (0, 1, 2**32, 2**64 - 1)


def golden_schedule() -> dict[str, Any]:
    pairs = [(1, 1), (8, 3), (8, 8), (135, 8), (135, 12), (265, 8), (265, 16), (265, 265)]
    return {"num_masked": [{"n_tokens": n, "steps": k, "kept": num_masked(n, k)} for n, k in pairs]}


def golden_noise() -> dict[str, Any]:
    """Uniforms times 2**24, which are odd whole numbers."""
    return {
        "streams": [
            {
                "seed": str(seed),
                "stream": str(stream),
                "uniforms_times_2_24": (uniforms([seed], stream, 9)[0] * 2.0**24)
                .astype(int)
                .tolist(),
            }
            for seed in GOLDEN_SEEDS
            for stream in (0, 3, MEL_STREAM)
        ]
    }


def golden_mel() -> dict[str, Any]:
    rows = mel_filterbank(MEL)[[0, 7, 15]]
    return {"rows": [0, 7, 15], "filterbank": [[round(float(x), 9) for x in row] for row in rows]}


def golden_plan() -> dict[str, Any]:
    """What a plan makes of masks: the order of a grid, and which tokens each step draws."""
    grid = Grid(height=3, width=5, codebook_size=4)
    rows = np.arange(grid.n_tokens)
    masks = {
        "all": [rows >= 0],
        "one each": [rows == 7, rows < 0],
        "mixed": [rows % 3 != 0, rows >= 0, rows < 4],
    }
    samplings = [
        Sampling(steps=1, guidance_scale=1.0),
        Sampling(steps=4, guidance_scale=3.0, guidance_interval=(0.0, 0.5), temperature=0.0),
        Sampling(steps=6, guidance_scale=2.0, guidance_schedule="annealed"),
    ]
    plans = []
    for name, mask in masks.items():
        for sampling in samplings:
            plan = make_plan(np.array(mask), grid.order, sampling)
            plans.append(
                {
                    "name": name,
                    "mask": np.array(mask).astype(int).tolist(),
                    "sampling": sampling.to_dict(),
                    "positions": plan.positions.tolist(),
                    **{name: values.tolist() for name, values in plan.drawing.items()},
                    "guidance_scale": plan.guidance_scale.tolist(),
                }
            )
    return {"order": grid.order, "plans": plans}


def write_golden(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (
        ("schedule", golden_schedule),
        ("noise", golden_noise),
        ("mel", golden_mel),
        ("plan", golden_plan),
    ):
        text = json.dumps(make(), indent=None, separators=(",", ":"))
        # One number list per line keeps diffs readable without a line per number.
        (folder / f"{name}.json").write_text(text.replace('},{"', '},\n{"') + "\n", "utf-8")


def write_bundle(folder: Path) -> None:
    from echoes_export.bundle import write as export
    from echoes_export.bundle.about import About
    from echoes_export.bundle.models import random_models
    from echoes_export.bundle.weights_file import rounded
    from echoes_training.presets import PRESETS

    about = About(
        name="echoes-tiny",
        created_by="tests/make_fixtures.py",
        description="Random weights, for tests.",
        labels={"noise": ["random pixels"]},
        sampling=SAMPLING,
    )
    models = rounded(random_models(PRESETS["tiny"], seed=5), "fp16")
    export.write_bundle(
        folder, models, about, weights="fp16", accept=lambda _: None, overwrite=True
    )


def write_graph(text: str, path: Path) -> None:
    from onnx import parser, save

    save(parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> {text}'), path)


def write_confidence(folder: Path) -> None:
    """The mean of a picture's codes, of the 32 that there are: nothing to learn, easy to check."""
    grid = Manifest.read(folder / "tiny_bundle" / MANIFEST_NAME).tokens.image
    text = f"""confidence (int32[batch, {grid.n_tokens}] codes) => (float[batch] confidence)
    <int64[1] axes = {{1}}, float size = {{{grid.codebook_size}}}> {{
        numbers = Cast <to = 1> (codes)
        mean = ReduceMean <keepdims = 0> (numbers, axes)
        confidence = Div (mean, size)
    }}"""
    write_graph(text, folder / "confidence.onnx")


def write_endless(path: Path) -> None:
    zeros = ", ".join(["0"] * 16)
    text = f"""endless (float[batch, 3, 32, 32] image) => (int32[batch, 16] codes)
    <bool true = {{1}}, int32[1, 16] zeros = {{{zeros}}}> {{
        codes = Loop ("", true, zeros) <body = body (int64 index, bool is_on, int32[1, 16] before)
        => (bool still_on, int32[1, 16] after) {{
            still_on = Identity (is_on)
            after = Identity (before)
        }}>
    }}"""
    write_graph(text, path)


if __name__ == "__main__":
    write = {
        "golden": write_golden,
        "bundle": write_bundle,
        "confidence": write_confidence,
        "endless": write_endless,
    }
    write[sys.argv[1]](Path(sys.argv[2]))
