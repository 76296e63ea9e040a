"""A bundle with guidance folded in, which the bundles of the other tests do not have."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from native import Native, NativeError, StepCallback
from tests.manifests import put_graph

from echoes_rt import Echoes

onnx = pytest.importorskip("onnx")

PIXELS = np.full((9, 9, 3), 50, np.uint8)


@pytest.fixture
def folded(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle, whose decoding takes no scale and has one of 1 instead."""
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    manifest = folder / "manifest.json"
    data = json.loads(manifest.read_text("utf-8"))
    data["sampling"] |= {"guidance": "folded", "guidance_scale": 1}
    manifest.write_text(json.dumps(data), "utf-8")
    for name in data["graphs"]:
        if name.startswith("decode_"):
            model = onnx.load(folder / f"{name}.onnx", load_external_data=False)
            fold(model.graph, is_step=name.endswith("_step"))
            put_graph(folder, name, model.SerializeToString())
    return folder


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


@pytest.fixture
def model(folded: Path, library: Path, build: Path) -> Iterator[Native]:
    native = Native(library, folded, device=b"cpu", threads=1)
    yield native
    native.close()


def test_sounds_are_pythons(model: Native, folded: Path, tiny_bundle: Path) -> None:
    """Also where the host calls back after every step; and those of a scale of 1."""
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


def test_a_guidance_scale_is_refused(model: Native) -> None:
    options, _ = model.options(seed=3, guidance_scale=2.0)
    with pytest.raises(NativeError, match="guidance_scale must be 1"):
        model.image_to_audio(PIXELS, options)


def test_a_manifest_that_says_both_is_refused(folded: Path, library: Path, build: Path) -> None:
    manifest = folded / "manifest.json"
    data = json.loads(manifest.read_text("utf-8"))
    data["sampling"]["guidance_scale"] = 3
    manifest.write_text(json.dumps(data), "utf-8")
    with pytest.raises(NativeError, match="guidance_scale must be 1"):
        Native(library, folded, device=b"cpu", threads=1)
