"""``python -m echoes_export.triton.client``: asks a Triton server for a sound or a picture.

It needs ``pip install echoes-rt "tritonclient[grpc]"`` and the bundle, whose front ends it applies;
no ONNX Runtime and no GPU.
"""

import math
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Arrays
from echoes_rt.bundle import Bundle, find_bundle
from echoes_rt.decode.noise import MEL_STREAM, uniforms
from echoes_rt.io.audio import write_audio
from echoes_rt.io.image import load_image, to_pixels, write_image
from echoes_rt.io.sources import clip_of, is_sound
from echoes_rt.model import levelled


def request(bundle: Bundle, source: Path, seed: int) -> tuple[str, dict[str, NDArray[Any]]]:
    """The ensemble to ask for a source's other medium, and its inputs without ``noise``."""
    manifest = bundle.manifest
    if not is_sound(source):
        image = load_image(source, manifest.image)
        drawn = uniforms([seed], 0, manifest.tokens.audio.n_tokens)
        return "image_to_audio", {"image": image, "uniforms": drawn}
    samples = np.zeros((1, manifest.mel.n_samples), np.float32)
    clip = clip_of(source, 0.0, manifest.mel)
    samples[0, : len(clip)] = clip
    drawn = uniforms([seed], 0, manifest.tokens.image.n_tokens)
    return "audio_to_image", {"samples": samples, "uniforms": drawn}


def mel_noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """(1, *shape): what a mel decoder that draws texture takes."""
    return uniforms([seed], MEL_STREAM, math.prod(shape)).reshape(1, *shape)


def save(bundle: Bundle, outputs: Arrays, out: Path) -> None:
    """Writes the sound or the picture that came back."""
    if "waveform" in outputs:
        write_audio(out, levelled(outputs["waveform"])[0], bundle.manifest.mel.sample_rate)
    else:
        write_image(out, to_pixels(outputs["image"], bundle.manifest.image)[0])


def ask(url: str, model: str, inputs: dict[str, NDArray[Any]], seed: int) -> Arrays:
    """The outputs of a model; noise is added if it takes any."""
    from tritonclient import grpc

    with grpc.InferenceServerClient(url) as client:
        about = client.get_model_metadata(model)
        for tensor in about.inputs:
            if tensor.name == "noise":
                inputs["noise"] = mel_noise(tuple(tensor.shape[1:]), seed)
        given = []
        for name, array in inputs.items():
            kind = {"float32": "FP32", "int32": "INT32"}[array.dtype.name]
            tensor = grpc.InferInput(name, array.shape, kind)
            tensor.set_data_from_numpy(array)
            given.append(tensor)
        result = client.infer(model, given)
        return {tensor.name: result.as_numpy(tensor.name) for tensor in about.outputs}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--bundle", help="Of which the repository was made. [default: the bundled one]")
@click.option("--url", default="localhost:8001", show_default=True, help="Host and gRPC port.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(source: Path, out: Path, bundle: str | None, url: str, seed: int) -> None:
    """Make the sound of a picture, or the picture of a sound, on a Triton server."""
    opened = find_bundle(bundle)
    model, inputs = request(opened, source, seed)
    save(opened, ask(url, model, inputs, seed), out)
    click.echo(str(out))


if __name__ == "__main__":
    main()
