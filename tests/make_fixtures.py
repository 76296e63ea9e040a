"""Writes the fixtures: python tests/make_fixtures.py golden|bundle FOLDER.

``golden`` needs numpy alone, and a test holds its output to the committed files byte by byte.
``bundle`` needs onnx: a real bundle with tiny random weights, rebuilt by hand when the format of
bundles changes.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from echoes_rt.decode import reference
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import DecodePlan, make_plan
from echoes_rt.spec.graphs import GraphSpec, graph_specs
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.manifest import MANIFEST_NAME, GraphEntry, Manifest
from echoes_rt.spec.mel import MelSpec, mel_filterbank
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.spec.schedule import num_masked
from echoes_rt.spec.tokens import Grid, TokenLayout

IMAGE = ImageSpec(height=32, width=32)
MEL = MelSpec(
    n_fft=256, win_length=256, hop_length=64, n_mels=16, f_min=0.0, f_max=8000.0, n_frames=32
)
TOKENS = TokenLayout(
    image=Grid(height=4, width=4, codebook_size=16), audio=Grid(height=2, width=4, codebook_size=16)
)
SAMPLING = SamplingDefaults(steps=4, guidance_scale=2.0, temperature=1.0, choice_temperature=4.5)

GOLDEN_SEEDS = (0, 1, 2**32, 2**64 - 1)


def mock_logits(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """Integer logits in [-4, 4] that depend on every token, so that rounding cannot move them."""
    position = np.arange(tokens.shape[1])[None, :, None]
    code = np.arange(vocab_size)[None, None, :]
    context = (tokens * (2 * np.arange(tokens.shape[1]) + 1)).sum(axis=1)[:, None, None]
    return ((7 * position + 5 * code + 3 * position * code + context) % 9 - 4).astype(np.float32)


def golden_schedule() -> dict[str, Any]:
    pairs = [(1, 1), (8, 3), (8, 8), (135, 8), (135, 12), (265, 8), (265, 16), (265, 265)]
    return {"num_masked": [{"n_tokens": n, "steps": k, "kept": num_masked(n, k)} for n, k in pairs]}


def golden_noise() -> dict[str, Any]:
    """Uniforms times 2**24, which are odd whole numbers."""
    return {
        "streams": [
            {
                "seed": str(seed),
                "steps": 3,
                "n_tokens": 5,
                "uniforms_times_2_24": (uniforms([seed], 3, 5)[:, :, 0].ravel() * 2.0**24)
                .astype(int)
                .tolist(),
            }
            for seed in GOLDEN_SEEDS
        ]
    }


def golden_mel() -> dict[str, Any]:
    rows = mel_filterbank(MEL)[[0, 7, 15]]
    return {"rows": [0, 7, 15], "filterbank": [[round(float(x), 9) for x in row] for row in rows]}


def golden_decode() -> dict[str, Any]:
    return {"vocab_size": TOKENS.vocab_size, "traces": [_trace(case) for case in _decode_cases()]}


def _decode_cases() -> list[dict[str, Any]]:
    image, audio = TOKENS.image.n_tokens, TOKENS.audio.n_tokens
    to_audio = [False] * image + [True] * audio
    to_image = [True] * image + [False] * audio
    partly = [i % 3 != 0 for i in range(image + audio)]
    plain = {"steps": 4, "guidance_scale": 3.0, "temperature": 1.0, "choice_temperature": 4.5}
    return [
        {"seeds": [0], "masks": [to_audio], **plain},
        {"seeds": [1, 2], "masks": [to_audio, to_image], **plain},
        {"seeds": [3, 4, 5], "masks": [to_audio, partly, [True] * (image + audio)], **plain},
        {"seeds": [6], "masks": [to_audio], **plain, "guidance_scale": 1.0},
        {"seeds": [7], "masks": [to_audio], **plain, "temperature": 0.0},
        {"seeds": [8], "masks": [to_audio], **plain, "temperature": 0.5, "choice_temperature": 0.0},
        {"seeds": [9], "masks": [to_audio], **plain, "steps": 1},
        {"seeds": [10], "masks": [to_audio], **plain, "steps": 8},
    ]


def _trace(case: dict[str, Any]) -> dict[str, Any]:
    mask = np.array(case["masks"])
    known = np.random.default_rng(0).integers(0, TOKENS.vocab_size, mask.shape)
    tokens = np.where(mask, TOKENS.mask_token_id, known).astype(np.int32)
    condition = ~mask
    sampling = SamplingDefaults(
        **{name: value for name, value in case.items() if name not in ("seeds", "masks")}
    )
    plan = make_plan(mask, sampling)
    decoded = reference.decode(
        lambda seen: mock_logits(seen, TOKENS.vocab_size),
        tokens,
        mask,
        plan,
        uniforms(case["seeds"], sampling.steps, TOKENS.n_tokens),
        condition=condition,
        mask_token_id=TOKENS.mask_token_id,
    )
    return {
        "seeds": case["seeds"],
        "mask_token_id": TOKENS.mask_token_id,
        "tokens": tokens.tolist(),
        "condition": condition.astype(int).tolist(),
        "plan": _plan_dict(plan),
        "decoded": decoded.tolist(),
    }


def _plan_dict(plan: DecodePlan) -> dict[str, Any]:
    return {
        "keep": plan.keep.tolist(),
        "temperature": plan.temperature.tolist(),
        "choice_temperature": plan.choice_temperature.tolist(),
        "guidance_scale": plan.guidance_scale.tolist(),
    }


def write_golden(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (
        ("schedule", golden_schedule),
        ("noise", golden_noise),
        ("mel", golden_mel),
        ("decode", golden_decode),
    ):
        text = json.dumps(make(), indent=None, separators=(",", ":"))
        # One number list per line keeps diffs readable without a line per number.
        (folder / f"{name}.json").write_text(text.replace('},{"', '},\n{"') + "\n", "utf-8")


def write_bundle(folder: Path) -> None:
    from onnx import checker, save

    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name, signature in graph_specs(IMAGE, MEL, TOKENS).items():
        model = _model(name, signature)
        checker.check_model(model, full_check=True)
        path = folder / f"{name}.onnx"
        save(model, str(path))
        data = path.read_bytes()
        entries[name] = GraphEntry(
            file=path.name,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            precision="fp32",
            signature=signature,
        )
    Manifest(
        name="echoes-tiny",
        license="Apache-2.0",
        created_by="tests/make_fixtures.py",
        description="Random weights, for tests.",
        labels=("noise",),
        image=IMAGE,
        mel=MEL,
        tokens=TOKENS,
        sampling=SAMPLING,
        graphs=entries,
    ).write(folder / MANIFEST_NAME)


class _Graph:
    """Collects nodes and random weights; every op is one that real exports hold too."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(list(name.encode()))
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant(self.rng.normal(0, scale, shape).astype(np.float32))

    def constant(self, value: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def add(self, op: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output


def _model(name: str, signature: GraphSpec) -> Any:
    from onnx import TensorProto, helper

    graph = _Graph(name)
    _BODIES[name](graph)
    tensors = [
        [
            helper.make_tensor_value_info(
                tensor, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape
            )
            for tensor, spec in side.items()
        ]
        for side in (signature.inputs, signature.outputs)
    ]
    assert helper.np_dtype_to_tensor_dtype(np.dtype(np.float32)) == TensorProto.FLOAT
    made = helper.make_graph(graph.nodes, name, *tensors, initializer=graph.weights)
    # Old enough for the oldest ONNX Runtime that the runtime's extras allow.
    return helper.make_model(made, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])


def _image_encoder(graph: _Graph) -> None:
    _patch_codes(graph, "image", (16, 3, 8, 8), TOKENS.image.n_tokens)


def _mel_encoder(graph: _Graph) -> None:
    picture = graph.add("Unsqueeze", "mel", graph.ints(1))
    _patch_codes(graph, picture, (16, 1, 8, 8), TOKENS.audio.n_tokens)


def _patch_codes(
    graph: _Graph, pixels: str, kernel: tuple[int, int, int, int], n_tokens: int
) -> None:
    scores = graph.add("Conv", pixels, graph.weight(*kernel), strides=[8, 8])
    flat = graph.add("Reshape", scores, graph.ints(0, kernel[0], n_tokens))
    best = graph.add("ArgMax", flat, axis=1, keepdims=0)
    graph.add("Cast", best, output="codes", to=6)  # TensorProto.INT32


def _image_decoder(graph: _Graph) -> None:
    patches = graph.add("Gather", graph.weight(16, 3 * 8 * 8), "codes")
    grid = graph.add("Reshape", patches, graph.ints(0, 4, 4, 3, 8, 8))
    rows = graph.add("Transpose", grid, perm=[0, 3, 1, 4, 2, 5])
    graph.add("Tanh", graph.add("Reshape", rows, graph.ints(0, 3, 32, 32)), output="image")


def _mel_decoder(graph: _Graph) -> None:
    patches = graph.add("Gather", graph.weight(16, 8 * 8), "codes")
    grid = graph.add("Reshape", patches, graph.ints(0, 2, 4, 8, 8))
    rows = graph.add("Transpose", grid, perm=[0, 1, 3, 2, 4])
    graph.add("Tanh", graph.add("Reshape", rows, graph.ints(0, 16, 32)), output="mel")


def _vocoder(graph: _Graph) -> None:
    kernel = graph.weight(MEL.n_mels, 1, MEL.hop_length, scale=0.1)
    wave = graph.add("ConvTranspose", "mel", kernel, strides=[MEL.hop_length])
    graph.add("Squeeze", graph.add("Tanh", wave), graph.ints(1), output="waveform")


def _step(graph: _Graph) -> None:
    width = 8
    embedded = graph.add("Gather", graph.weight(TOKENS.vocab_size + 1, width), "tokens")
    placed = graph.add("Add", embedded, graph.weight(TOKENS.n_tokens, width))
    everyone = graph.add("ReduceMean", placed, graph.ints(1), keepdims=1)
    mixed = graph.add("Tanh", graph.add("Add", placed, everyone))
    graph.add("MatMul", mixed, graph.weight(width, TOKENS.vocab_size), output="logits")


_BODIES = {
    "image_encoder": _image_encoder,
    "image_decoder": _image_decoder,
    "mel_encoder": _mel_encoder,
    "mel_decoder": _mel_decoder,
    "step": _step,
    "vocoder": _vocoder,
}


if __name__ == "__main__":
    {"golden": write_golden, "bundle": write_bundle}[sys.argv[1]](Path(sys.argv[2]))
