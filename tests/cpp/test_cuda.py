"""What a GPU runs, bound and in float16; the GPU is not there: its sessions run on the CPU."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native import Native, NativeError, StepCallback

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake CUDA needs dlopen")

Fresh = Callable[[], dict[str, Any]]
Opened = Callable[..., Native]

PIXELS = np.full((9, 9, 3), 50, np.uint8)


@pytest.fixture
def cuda(
    opened: Opened, build: Path, onnxruntime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Opened:
    """Opens a model where CUDA always starts: on that, unless told otherwise."""
    true = next(p for p in sorted(onnxruntime_folder.iterdir()) if "libonnxruntime." in p.name)
    monkeypatch.setenv("FAKE_CUDA_ORT", str(true))
    fake = os.fsencode(next((build / "tests").glob("libecho*fake_cuda.*")))
    return lambda bundle, device=b"cuda": opened(bundle, device=device, onnxruntime_path=fake)


def add_half(folder: Path, data: dict[str, Any], graph: str, content: bytes) -> None:
    """Puts a graph in float16 beside another, with the signature of that, into the manifest."""
    (folder / f"{graph}_half.onnx").write_bytes(content)
    data["graphs"][f"{graph}_half"] = data["graphs"][graph] | {
        "file": f"{graph}_half.onnx",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "precision": "fp16",
    }
    (folder / "manifest.json").write_text(json.dumps(data))


def sound_of(model: Native) -> np.ndarray:
    return model.image_to_audio(PIXELS, model.options()[0])


def test_steps_on_fixed_buffers_give_the_codes_of_the_cpu(tiny_bundle: Path, cuda: Opened) -> None:
    """For sizes in turns, on kept buffers and beyond their limit, and from several threads."""
    cpu, gpu = cuda(tiny_bundle, b"cpu"), cuda(tiny_bundle)

    def decoded(model: Native, seed: int) -> list[int]:
        n_tokens = model.info.audio_columns * model.info.audio_rows
        context = model.info.image_columns * model.info.image_rows
        options, _ = model.options(seed=seed, steps=1 + seed % n_tokens)
        tokens = np.full(n_tokens, model.info.audio_codebook_size, np.int32)
        tokens[: seed % 3] = 1
        seen = None if seed % 4 == 3 else np.full(context, seed % 5, np.int32)
        return [*model.decode_tokens("audio", tokens, seen, options)]

    expected = [decoded(cpu, seed) for seed in range(40)]
    for _ in range(2):
        assert [decoded(gpu, seed) for seed in range(40)] == expected
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda seed: decoded(gpu, seed), range(40))] == expected
    assert gpu.now().unrecorded == b""


def test_a_cancelled_decoding_leaves_the_next_one_whole(tiny_bundle: Path, cuda: Opened) -> None:
    gpu = cuda(tiny_bundle)
    expected = sound_of(gpu)
    stop = StepCallback(lambda step, *_: step < 1)
    with pytest.raises(NativeError) as caught:
        gpu.image_to_audio(PIXELS, gpu.options(on_step=stop)[0])
    assert caught.value.status == "cancelled"
    assert (sound_of(gpu) == expected).all()


@pytest.mark.parametrize("refused", ["0", "1", "2"])
def test_a_failing_recording_is_told_and_the_decoding_goes_on(
    refused: str, tiny_bundle: Path, cuda: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sound_of(cuda(tiny_bundle, b"cpu"))
    monkeypatch.setenv("FAKE_CUDA_REFUSES", refused)
    gpu = cuda(tiny_bundle)
    for _ in range(2):
        assert (sound_of(gpu) == expected).all()
    assert b"record" in gpu.now().unrecorded


def test_a_gpu_runs_halves_and_the_cpu_does_not(
    copy: Path, tiny_manifest: Fresh, cuda: Opened
) -> None:
    expected = sound_of(cuda(copy, b"cpu"))
    assert (sound_of(cuda(copy)) == expected).all()
    data = tiny_manifest()
    for graph in ("decode_audio_step", "vocoder"):
        add_half(copy, data, graph, (copy / f"{graph}.onnx").read_bytes())
    assert (sound_of(cuda(copy)) == expected).all()
    add_half(copy, data, "vocoder", b"\x08\x0a")  # a model with a version and nothing else
    assert (sound_of(cuda(copy, b"cpu")) == expected).all()
    with pytest.raises(NativeError, match=r"cannot load .*vocoder_half\.onnx"):
        sound_of(cuda(copy))


@pytest.mark.parametrize(("graph", "output"), [("mel_decoder", "mel"), ("vocoder", "waveform")])
def test_the_signature_of_a_half_is_that_of_the_graph(
    graph: str, output: str, copy: Path, tiny_manifest: Fresh, cuda: Opened
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
    with pytest.raises(NativeError, match=rf"{graph}_half\.onnx") as caught:
        sound_of(cuda(copy))
    assert caught.value.status == "bundle"


def test_there_is_no_half_of_a_graph_that_is_not_there(
    copy: Path, tiny_manifest: Fresh, cuda: Opened
) -> None:
    data = tiny_manifest()
    add_half(copy, data, "image_decoder", (copy / "image_decoder.onnx").read_bytes())
    del data["graphs"]["image_decoder"]
    (copy / "manifest.json").write_text(json.dumps(data))
    model = cuda(copy)
    with pytest.raises(NativeError, match="has no graph 'image_decoder'") as caught:
        model.audio_to_image(np.zeros(9, np.float32), model.options()[0])
    assert caught.value.status == "bundle"
