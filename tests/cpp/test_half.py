"""Graphs in float16, which a GPU runs; the GPU is not there: its sessions run on the CPU."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native import Native, NativeError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake CUDA needs dlopen")

Fresh = Callable[[], dict[str, Any]]
Opened = Callable[[Path, bytes], Native]

PIXELS = np.full((9, 9, 3), 50, np.uint8)


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def opened(
    library: Path, build: Path, onnxruntime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opened]:
    """Opens a model on a device, where CUDA always starts."""
    true = next(p for p in sorted(onnxruntime_folder.iterdir()) if "libonnxruntime." in p.name)
    monkeypatch.setenv("FAKE_CUDA_ORT", str(true))
    fake = next((build / "tests").glob("libecho*fake_cuda.*"))
    models: list[Native] = []

    def open_model(bundle: Path, device: bytes) -> Native:
        path = os.fsencode(fake)
        models.append(Native(library, bundle, device=device, onnxruntime_path=path, threads=1))
        return models[-1]

    yield open_model
    for model in models:
        model.close()


def add_half(folder: Path, data: dict[str, Any], graph: str, content: bytes) -> None:
    """Puts a graph in float16 beside another, with the signature of that."""
    (folder / f"{graph}_half.onnx").write_bytes(content)
    data["graphs"][f"{graph}_half"] = data["graphs"][graph] | {
        "file": f"{graph}_half.onnx",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "precision": "fp16",
    }


def sound_of(model: Native) -> np.ndarray:
    return model.image_to_audio(PIXELS, model.options()[0])


def test_a_gpu_runs_them_and_the_cpu_does_not(
    copy: Path, tiny_manifest: Fresh, opened: Opened
) -> None:
    expected = sound_of(opened(copy, b"cpu"))
    assert (sound_of(opened(copy, b"cuda")) == expected).all()
    data = tiny_manifest()
    for graph in ("decode_audio_step", "vocoder"):
        add_half(copy, data, graph, (copy / f"{graph}.onnx").read_bytes())
    (copy / "manifest.json").write_text(json.dumps(data))
    assert (sound_of(opened(copy, b"cuda")) == expected).all()
    add_half(copy, data, "vocoder", b"\x08\x0a")  # a model with a version and nothing else
    (copy / "manifest.json").write_text(json.dumps(data))
    assert (sound_of(opened(copy, b"cpu")) == expected).all()
    with pytest.raises(NativeError, match=r"cannot load .*vocoder_half\.onnx"):
        sound_of(opened(copy, b"cuda"))


@pytest.mark.parametrize(("graph", "output"), [("mel_decoder", "mel"), ("vocoder", "waveform")])
def test_their_signature_is_that_of_the_graph(
    graph: str, output: str, copy: Path, tiny_manifest: Fresh, opened: Opened
) -> None:
    """Else half as many bytes would be there as are read."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(copy / f"{graph}.onnx", load_external_data=False)
    (made,) = (node for node in model.graph.node if output in node.output)
    made.output[list(made.output).index(output)] = "in_full"
    half = onnx.TensorProto.FLOAT16
    model.graph.node.append(onnx.helper.make_node("Cast", ["in_full"], [output], to=half))
    model.graph.output[0].type.tensor_type.elem_type = half
    data = tiny_manifest()
    add_half(copy, data, graph, model.SerializeToString())
    (copy / "manifest.json").write_text(json.dumps(data))
    said = rf"output {output} of {graph}_half\.onnx must be float32 .* got float16 "
    with pytest.raises(NativeError, match=said) as caught:
        sound_of(opened(copy, b"cuda"))
    assert caught.value.status == "bundle"


def test_there_is_none_of_a_graph_that_is_not_there(
    copy: Path, tiny_manifest: Fresh, opened: Opened
) -> None:
    data = tiny_manifest()
    add_half(copy, data, "image_decoder", (copy / "image_decoder.onnx").read_bytes())
    del data["graphs"]["image_decoder"]
    (copy / "manifest.json").write_text(json.dumps(data))
    model = opened(copy, b"cuda")
    with pytest.raises(NativeError, match="has no graph 'image_decoder'") as caught:
        model.audio_to_image(np.zeros(9, np.float32), model.options()[0])
    assert caught.value.status == "bundle"
