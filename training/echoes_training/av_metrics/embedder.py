"""Networks that turn a sound or a picture into numbers: the user's own, described by JSON files."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.errors import InputError
from echoes_rt.install import install_line
from echoes_training.av_metrics.media import fitted, read_clip, read_picture
from echoes_training.config import from_dict

OUTPUTS = ("embedding", "logits", "-")

Floats = NDArray[np.float32]
Outputs = dict[str, NDArray[Any]]

Network = Callable[[Floats], list[NDArray[Any]]]
"""(1, S) samples or (1, 3, H, W) pixels to the outputs."""


@dataclass(frozen=True, kw_only=True)
class EmbedderSpec:
    """What a network wants to be given, and what it gives.

    Attributes:
        name: ``vggish``, ``panns``, ``passt``, ``imagebind`` and ``clip`` are compared with what is
            published under these names; any other is fine. A sound and a picture embedder of the
            same name share a space.
        medium: ``sound`` or ``picture``.
        model: .onnx, or TorchScript as .pt or .ts; of one input, (1, S) or (1, 3, size, size).
        outputs: what the network's outputs are, in order: ``embedding`` (1, D) or (1, R, D),
            ``logits`` (1, C) before any softmax or sigmoid, ``-`` what is not wanted.
        sample_rate: of sounds, in Hz.
        n_samples: to which sounds are cut or padded after they were cut to the clip's length.
        size: of pictures, in pixels.
        mean: of pictures, for each channel, of values in [0, 1]; CLIP's own by default.
        std: the same.
    """

    name: str
    medium: str
    model: Path
    outputs: tuple[str, ...]
    sample_rate: int = 0
    n_samples: int | None = None
    size: int = 224
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    def __post_init__(self) -> None:
        letters = str(self.name).replace("-", "").replace("_", "")
        _check(letters.isalnum(), "name", self.name, "a word")
        _check(self.medium in ("sound", "picture"), "medium", self.medium, "sound or picture")
        is_known = self.model.suffix.lower() in (".onnx", ".pt", ".ts")
        _check(is_known, "model", self.model, ".onnx, .pt or .ts")
        named = [name for name in self.outputs if name != "-"]
        good = {*self.outputs} <= {*OUTPUTS} and len(named) == len({*named}) > 0
        _check(good, "outputs", self.outputs, "embedding, logits or -, each of the first two once")
        if self.medium == "sound":
            good = type(self.sample_rate) is int and self.sample_rate >= 1000
            _check(good, "sample_rate", self.sample_rate, "1000 or more, in Hz")
            good = self.n_samples is None or (type(self.n_samples) is int and self.n_samples > 0)
            _check(good, "n_samples", self.n_samples, "positive")
        else:
            _check(type(self.size) is int and self.size > 0, "size", self.size, "positive")
            good = len(self.mean) == len(self.std) == 3 and min(self.std) > 0
            _check(good, "mean and std", (self.mean, self.std), "three numbers, std positive")

    @classmethod
    def read(cls, path: Path) -> "EmbedderSpec":
        """Raises InputError naming the file and what is wrong in it."""
        try:
            values = dict(json.loads(path.read_text(encoding="utf-8")))
            # A relative model lies beside the description.
            return from_dict(cls, values | {"model": path.parent / str(values.get("model", ""))})
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"{path} does not describe an embedder in JSON: {error}") from error


def _check(is_good: bool, name: str, value: object, allowed: str) -> None:
    if not is_good:
        raise ValueError(f"{name} must be {allowed}, got {value}")


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A network, loaded, and the checksum of its file."""

    spec: EmbedderSpec
    network: Network
    sha256: str

    @property
    def origin(self) -> Mapping[str, str]:
        """What it is, for the report and to know embeddings again."""
        spec = self.spec
        names = ("sample_rate", "n_samples") if spec.medium == "sound" else ("size", "mean", "std")
        return {
            "model": spec.model.name,
            "outputs": " ".join(spec.outputs),
            **{name: str(getattr(spec, name)) for name in names},
            "model_sha256": self.sha256,
        }

    def embed(self, path: Path, clip_s: float) -> Outputs:
        """``embedding`` (D,) or (R, D), ``logits`` (C,), or both, of one file.

        Raises:
            InputError: if the file cannot be read, or the network cannot be run on it.
        """
        spec = self.spec
        if spec.medium == "picture":
            values = read_picture(path, spec.size, spec.mean, spec.std)
        else:
            values = read_clip(path, spec.sample_rate, clip_s)
            if spec.n_samples is not None:
                values = fitted(values, spec.n_samples)
        try:
            outputs = self.network(np.ascontiguousarray(values)[None])
        # ONNX Runtime's own exceptions are RuntimeErrors or plain ones.
        except Exception as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{spec.model} cannot be run on {path}: {reason}") from error
        if len(outputs) != len(spec.outputs):
            raise InputError(
                f"{spec.model} gives {len(outputs)} outputs, its description names "
                f"{len(spec.outputs)}: {', '.join(spec.outputs)}"
            )
        # The batch of one goes.
        named = zip(spec.outputs, outputs, strict=True)
        return {name: np.asarray(values)[0] for name, values in named if name != "-"}


def load_embedder(path: Path, device: str) -> Embedder:
    """From a JSON file of an ``EmbedderSpec``.

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
    return lambda batch: list(session.run(None, {inputs[0].name: batch}))


def _torchscript(path: Path, device: str) -> Network:
    import torch

    module = torch.jit.load(str(path), map_location=device).eval()

    def run(batch: Floats) -> list[NDArray[Any]]:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(batch).to(device))
        tensors = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
        return [tensor.float().cpu().numpy() for tensor in tensors]

    return run
