"""Networks that turn a sound or a picture into numbers: the user's own, from files."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.errors import InputError
from echoes_rt.install import install_line
from echoes_training.av_metrics.embedder_file import EmbedderSpec
from echoes_training.av_metrics.media import fitted, read_clip, read_picture

Floats = NDArray[np.float32]
Outputs = dict[str, NDArray[Any]]


class Network(Protocol):
    def __call__(self, batch: Floats) -> list[NDArray[Any]]:
        """The outputs for (1, S) samples or (1, 3, H, W) pixels."""
        ...


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A network in a file, and what it wants to be given.

    Sounds and pictures whose embedders have one ``name`` share a space.
    """

    spec: EmbedderSpec
    network: Network
    sha256: str

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def medium(self) -> str:
        return self.spec.medium

    @property
    def origin(self) -> Mapping[str, str]:
        """What it is, for the report and to know embeddings again."""
        return {**self.spec.described, "model_sha256": self.sha256}

    def embed(self, path: Path, clip_s: float) -> Outputs:
        """``embedding`` (D,) or (R, D), ``logits`` (C,), or both, of one file.

        Raises:
            InputError: if the file cannot be read, or the network cannot be run on it.
        """
        outputs = self._run(path, self._read(path, clip_s))
        if len(outputs) != len(self.spec.outputs):
            raise InputError(
                f"{self.spec.model} gives {len(outputs)} outputs, its description names "
                f"{len(self.spec.outputs)}: {', '.join(self.spec.outputs)}"
            )
        # The batch of one goes.
        named = zip(self.spec.outputs, outputs, strict=True)
        return {name: np.asarray(values)[0] for name, values in named if name != "-"}

    def _read(self, path: Path, clip_s: float) -> Floats:
        spec = self.spec
        if spec.medium == "picture":
            return read_picture(path, spec.size, spec.mean, spec.std)
        samples = read_clip(path, spec.sample_rate, clip_s)
        return samples if spec.n_samples is None else fitted(samples, spec.n_samples)

    def _run(self, path: Path, values: Floats) -> list[NDArray[Any]]:
        try:
            return self.network(np.ascontiguousarray(values)[None])
        # ONNX Runtime's own exceptions are RuntimeErrors or plain ones.
        except Exception as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{self.spec.model} cannot be run on {path}: {reason}") from error


def load_embedder(path: Path, device: str) -> Embedder:
    """From a description as ``embedder_file`` reads it.

    Raises:
        InputError: if the description or the network cannot be used.
    """
    spec = EmbedderSpec.read(path)
    try:
        digest = hashlib.sha256(spec.model.read_bytes()).hexdigest()
        is_onnx = spec.model.suffix.lower() == ".onnx"
        network = _onnx(spec.model, device) if is_onnx else _torchscript(spec.model, device)
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"the network {spec.model} cannot be loaded: {reason}") from error
    return Embedder(spec=spec, network=network, sha256=digest)


def _onnx(path: Path, device: str) -> Network:
    onnxruntime = import_onnxruntime()
    wanted = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    if wanted not in onnxruntime.get_available_providers():
        raise InputError(
            f"this ONNX Runtime cannot use {device}; {install_line('gpu')} in an environment "
            "without onnxruntime"
        )
    session = onnxruntime.InferenceSession(path, providers=[wanted])
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise InputError(f"{path} must have one input, it has {len(inputs)}")

    def run(batch: Floats) -> list[NDArray[Any]]:
        return list(session.run(None, {inputs[0].name: batch}))

    return run


def _torchscript(path: Path, device: str) -> Network:
    import torch

    module = torch.jit.load(str(path), map_location=device).eval()

    def run(batch: Floats) -> list[NDArray[Any]]:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(batch).to(device))
        tensors = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
        return [tensor.float().cpu().numpy() for tensor in tensors]

    return run
