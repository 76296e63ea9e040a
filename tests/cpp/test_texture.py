"""A mel decoder that draws texture from noise, which the bundles of the other tests do not have."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from native import Native, NativeError
from tests.manifests import put_graph

from echoes_rt import Echoes

onnx = pytest.importorskip("onnx")

PIXELS = np.full((9, 9, 3), 50, np.uint8)


@pytest.fixture
def textured(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle, with noise added to what its mel decoder gives."""
    return with_noise(tiny_bundle, tmp_path / "bundle", ["batch", 16, 32])


def with_noise(bundle: Path, folder: Path, shape: list[int | str]) -> Path:
    shutil.copytree(bundle, folder)
    model = onnx.load(folder / "mel_decoder.onnx", load_external_data=False)
    (last,) = (node for node in model.graph.node if "mel" in node.output)
    last.output[list(last.output).index("mel")] = "smooth"
    model.graph.node.append(onnx.helper.make_node("Mul", ["smooth", "noise"], ["mel"]))
    noise = onnx.helper.make_tensor_value_info("noise", onnx.TensorProto.FLOAT, shape)
    model.graph.input.append(noise)
    put_graph(folder, "mel_decoder", model.SerializeToString())
    return folder


@pytest.fixture
def model(textured: Path, library: Path, build: Path) -> Iterator[Native]:
    native = Native(library, textured, device=b"cpu", threads=1)
    yield native
    native.close()


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_noise_is_pythons(seed: int, model: Native, textured: Path) -> None:
    """In a clip and in the windows of a stream."""
    echoes = Echoes.load(textured, device="cpu", threads=1)
    duration = 2.5 * echoes.manifest.mel.duration_s
    options, _ = model.options(seed=seed)
    expected = echoes.image_to_audio(PIXELS, seed=seed).samples
    assert np.abs(model.image_to_audio(PIXELS, options) - expected).max() < 1e-4
    chunks: list[np.ndarray] = []
    model.stream(PIXELS, duration, options, lambda chunk: not chunks.append(chunk))
    expected = np.concatenate([*echoes.stream(PIXELS, duration=duration, seed=seed)])
    assert np.abs(np.concatenate(chunks) - expected).max() < 1e-4


def test_seeds_sound_different(model: Native) -> None:
    """With the same codes: at temperature 0 only the texture has chance in it."""
    sounds = []
    for seed in (0, 1):
        options, codes = model.options(seed=seed, temperature=0)
        sounds.append((model.image_to_audio(PIXELS, options), codes["audio"].tolist()))
    assert sounds[0][1] == sounds[1][1]
    assert (sounds[0][0] != sounds[1][0]).any()


def test_noise_of_unknown_size(
    tiny_bundle: Path, tmp_path: Path, library: Path, build: Path
) -> None:
    folder = with_noise(tiny_bundle, tmp_path / "free", ["batch", 16, "any"])
    native = Native(library, folder, device=b"cpu", threads=1)
    with pytest.raises(NativeError, match=r"needs an input noise with a static shape") as caught:
        native.image_to_audio(PIXELS, native.options()[0])
    assert caught.value.status == "bundle"
    native.close()
