"""Bundles with guidance folded in, and with a mel decoder that draws texture from noise."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native import Native, NativeError, StepCallback
from tests.manifests import put_graph

from echoes_rt import Echoes

onnx = pytest.importorskip("onnx")

Opened = Callable[..., Native]

PIXELS = np.full((9, 9, 3), 50, np.uint8)


@pytest.fixture
def folded(copy: Path) -> Path:
    """The tiny bundle, whose decoding takes no scale and has one of 1 instead."""
    manifest = copy / "manifest.json"
    data = json.loads(manifest.read_text("utf-8"))
    data["sampling"] |= {"guidance": "folded", "guidance_scale": 1}
    manifest.write_text(json.dumps(data), "utf-8")
    for name in data["graphs"]:
        if name.startswith("decode_"):
            model = onnx.load(copy / f"{name}.onnx", load_external_data=False)
            fold(model.graph, is_step=name.endswith("_step"))
            put_graph(copy, name, model.SerializeToString())
    return copy


def fold(graph: "onnx.GraphProto", *, is_step: bool) -> None:
    (scale,) = (value for value in graph.input if value.name == "guidance_scale")
    graph.input.remove(scale)
    make = onnx.helper.make_node
    nodes = [make("Shape", ["temperature"], ["fold.count"])]
    if is_step:  # one for each member that does not see a context
        nodes = [
            make("Shape", ["tokens"], ["fold.members"], start=0, end=1),
            make("Shape", ["context"], ["fold.seen"], start=0, end=1),
            make("Sub", ["fold.members", "fold.seen"], ["fold.count"]),
        ]
    one = onnx.numpy_helper.from_array(np.ones(1, np.float32))
    nodes.append(make("ConstantOfShape", ["fold.count"], ["guidance_scale"], value=one))
    for node in reversed(nodes):
        graph.node.insert(0, node)


def test_sounds_are_pythons(opened: Opened, folded: Path, tiny_bundle: Path) -> None:
    """Also where the host calls back after every step; and those of a scale of 1."""
    model = opened(folded)
    options, _ = model.options(seed=3)
    assert options.guidance_scale == 1
    made = model.image_to_audio(PIXELS, options)
    expected = Echoes.load(folded, device="cpu", threads=1).generate(PIXELS, seed=3).samples
    assert np.abs(made - expected).max() < 1e-4
    plain = Echoes.load(tiny_bundle, device="cpu", threads=1)
    same = plain.generate(PIXELS, seed=3, guidance_scale=1).samples
    assert np.abs(made - same).max() < 1e-4
    steps: list[int] = []

    def told(step: int, count: int, _: object) -> int:
        steps.append(step)
        return 1

    options, _ = model.options(seed=3, on_step=StepCallback(told))
    by_steps = model.image_to_audio(PIXELS, options)
    assert np.abs(by_steps - expected).max() < 1e-4
    assert steps == list(range(options.steps))


def test_a_guidance_scale_is_refused(opened: Opened, folded: Path) -> None:
    model = opened(folded)
    options, _ = model.options(seed=3, guidance_scale=2.0)
    with pytest.raises(NativeError, match="guidance_scale must be 1"):
        model.image_to_audio(PIXELS, options)


def test_a_manifest_that_says_both_is_refused(folded: Path, opened: Opened) -> None:
    manifest = folded / "manifest.json"
    data = json.loads(manifest.read_text("utf-8"))
    data["sampling"]["guidance_scale"] = 3
    manifest.write_text(json.dumps(data), "utf-8")
    with pytest.raises(NativeError, match="guidance_scale must be 1"):
        opened(folded)


@pytest.fixture
def textured(copy: Path) -> Path:
    """The tiny bundle, with noise added to what its mel decoder gives."""
    return with_noise(copy, ["batch", 16, 32])


def with_noise(folder: Path, shape: list[int | str]) -> Path:
    model = onnx.load(folder / "mel_decoder.onnx", load_external_data=False)
    (last,) = (node for node in model.graph.node if "mel" in node.output)
    last.output[list(last.output).index("mel")] = "smooth"
    model.graph.node.append(onnx.helper.make_node("Mul", ["smooth", "noise"], ["mel"]))
    noise = onnx.helper.make_tensor_value_info("noise", onnx.TensorProto.FLOAT, shape)
    model.graph.input.append(noise)
    put_graph(folder, "mel_decoder", model.SerializeToString())
    return folder


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_noise_is_pythons(seed: int, opened: Opened, textured: Path) -> None:
    """In a clip and in the windows of a stream."""
    echoes = Echoes.load(textured, device="cpu", threads=1)
    model = opened(textured)
    duration = 2.5 * echoes.manifest.mel.duration_s
    options, _ = model.options(seed=seed)
    expected = echoes.image_to_audio(PIXELS, seed=seed).samples
    assert np.abs(model.image_to_audio(PIXELS, options) - expected).max() < 1e-4
    chunks: list[np.ndarray] = []
    model.stream(PIXELS, duration, options, lambda chunk: not chunks.append(chunk))
    expected = np.concatenate([*echoes.stream(PIXELS, duration=duration, seed=seed)])
    assert np.abs(np.concatenate(chunks) - expected).max() < 1e-4


def test_seeds_sound_different(opened: Opened, textured: Path) -> None:
    """With the same codes: at temperature 0 only the texture has chance in it."""
    model, sounds = opened(textured), []
    for seed in (0, 1):
        options, codes = model.options(seed=seed, temperature=0)
        sounds.append((model.image_to_audio(PIXELS, options), codes["audio"].tolist()))
    assert sounds[0][1] == sounds[1][1]
    assert (sounds[0][0] != sounds[1][0]).any()


def test_noise_of_unknown_size(copy: Path, opened: Opened) -> None:
    native = opened(with_noise(copy, ["batch", 16, "any"]))
    with pytest.raises(NativeError, match=r"needs an input noise with a static shape") as caught:
        native.image_to_audio(PIXELS, native.options()[0])
    assert caught.value.status == "bundle"
