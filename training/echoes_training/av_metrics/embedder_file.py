"""The JSON file that says what an embedder's network wants to be given, and what it gives."""

import json
from dataclasses import dataclass
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_training.config import from_dict

OUTPUTS = ("embedding", "logits", "-")
MEDIA = ("sound", "picture")
SUFFIXES = (".onnx", ".pt", ".ts")


@dataclass(frozen=True, kw_only=True)
class EmbedderSpec:
    """One network.

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
        _check(self.medium in MEDIA, "medium", self.medium, "sound or picture")
        _check(self.model.suffix.lower() in SUFFIXES, "model", self.model, ".onnx, .pt or .ts")
        good = bool(self.outputs) and {*self.outputs} <= {*OUTPUTS}
        named = [name for name in self.outputs if name != "-"]
        good = good and len(named) == len({*named}) > 0
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
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is not an embedder's description in JSON: {error}") from error
        if not isinstance(values, dict):
            raise InputError(f"{path} must hold one JSON object")
        # A relative model lies beside the description.
        values |= {"model": path.parent / str(values.get("model", ""))}
        try:
            return from_dict(cls, values)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: {error}") from error

    @property
    def described(self) -> dict[str, str]:
        """What matters for its numbers, by name."""
        names = ("sample_rate", "n_samples") if self.medium == "sound" else ("size", "mean", "std")
        return {
            "model": self.model.name,
            "outputs": " ".join(self.outputs),
            **{name: str(getattr(self, name)) for name in names},
        }


def _check(is_good: bool, name: str, value: object, allowed: str) -> None:
    if not is_good:
        raise ValueError(f"{name} must be {allowed}, got {value}")
