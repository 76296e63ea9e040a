"""What an embedder says of a set of files, by file name, and the files that hold it.

``np.savez(path, **{"clip1/embedding": (D,) or (R, D), "clip1/logits": (C,), ...})`` makes one.
"""

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written

SUFFIXES = (".npz", ".safetensors")
KINDS = ("embedding", "logits")

AV_BENCHMARK = {"made_by": "av-benchmark"}

_CACHES: dict[str, dict[str, tuple[str, str]]] = {
    "picture": {"imagebind": ("imagebind_video", "")},
    "sound": {
        "vggish": ("vggish_features", ""),
        "panns": ("pann_features/2048", "pann_features/logits"),
        "passt": ("passt_features_embed", "passt_logits"),
        "imagebind": ("imagebind_audio", ""),
    },
}
"""What av-benchmark leaves (github.com/hkchengrex/av-benchmark): by medium and embedder the files
of embeddings and of logits, dictionaries by file name, and the key of what holds them in there.
``imagebind_video`` lies among the caches of the reference."""

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True)
class Features:
    """Of the files of one folder, by their names without suffix, sorted.

    Attributes:
        embeddings: (R, D); R is 1, or the number of pieces that the embedder cuts a sound into.
        logits: (C,), before any softmax or sigmoid; empty if the embedder knows no classes.
        origin: how they were made, as far as that is known.
    """

    embeddings: dict[str, Array]
    logits: dict[str, Array]
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return sorted({*self.embeddings, *self.logits})

    @property
    def dimensions(self) -> int:
        """D, or 0 if there are no embeddings."""
        return next((rows.shape[1] for rows in self.embeddings.values()), 0)

    @property
    def n_classes(self) -> int:
        return next((len(scores) for scores in self.logits.values()), 0)


def make_features(
    place: str, embeddings: Arrays, logits: Arrays, origin: Mapping[str, str]
) -> Features:
    """Checks shapes and values.

    Args:
        place: where they come from, for messages.
        embeddings: (D,) or (R, D) by name.
        logits: (C,) by name.
        origin: kept as it is.

    Raises:
        InputError: naming the first file that does not fit.
    """
    if not embeddings and not logits:
        raise InputError(f"{place} holds no embeddings and no logits")
    rows = {name: np.atleast_2d(x) for name, x in _numbers(place, embeddings).items()}
    scores = {name: np.squeeze(x) for name, x in _numbers(place, logits).items()}
    _check_shapes(place, "embedding", rows, 2)
    _check_shapes(place, "logits", scores, 1)
    # Softmax twice is the commonest mistake of KL and IS, and gives plausible numbers.
    if scores and all(((row >= 0) & (row <= 1)).all() for row in scores.values()):
        raise InputError(
            f"{place}: the logits all lie in [0, 1], as probabilities do; give the network's "
            "scores before its softmax or sigmoid"
        )
    return Features(embeddings=rows, logits=scores, origin=dict(origin))


def _numbers(place: str, arrays: Arrays) -> dict[str, Array]:
    """Sorted by name."""
    for name, values in arrays.items():
        is_number = values.dtype.kind in "fiu" and values.size > 0
        if not is_number or not np.isfinite(values.astype(np.float64)).all():
            raise InputError(f"{place}: {name} is empty or has values that are not finite numbers")
    return {name: np.asarray(arrays[name], dtype=np.float64) for name in sorted(arrays)}


def _check_shapes(place: str, kind: str, arrays: Mapping[str, Array], ndim: int) -> None:
    sizes: dict[int, str] = {}
    for name, array in arrays.items():
        if array.ndim != ndim:
            raise InputError(f"{place}: the {kind} of {name} has the shape {array.shape}")
        sizes.setdefault(array.shape[-1], name)
    if len(sizes) > 1:
        (a, first), (b, second) = list(sizes.items())[:2]
        raise InputError(f"{place}: the {kind} of {first} has {a} numbers, that of {second} {b}")


def read_features(path: Path) -> Features:
    """Raises InputError if the file cannot be read or does not hold features."""
    from safetensors import SafetensorError

    try:
        tensors, origin = _read(path)
    except (OSError, SafetensorError, zipfile.BadZipFile, ValueError, TypeError) as error:
        raise InputError(f"{path} holds no embeddings that can be read: {error}") from error
    found: dict[str, dict[str, NDArray[np.generic]]] = {kind: {} for kind in KINDS}
    for key, values in tensors.items():
        name, _, kind = key.rpartition("/")
        if not name or kind not in KINDS:
            raise InputError(f"{path}: keys must be NAME/embedding or NAME/logits, got {key!r}")
        found[kind][name] = values
    return make_features(str(path), found["embedding"], found["logits"], origin)


def write_features(path: Path, features: Features) -> None:
    """Writes a .safetensors file, whole or not at all; numbers are kept in single precision."""
    from safetensors.numpy import save_file

    tensors = {f"{name}/embedding": rows for name, rows in features.embeddings.items()}
    tensors |= {f"{name}/logits": scores for name, scores in features.logits.items()}
    tensors = {key: np.ascontiguousarray(x, np.float32) for key, x in tensors.items()}
    with written(path) as partial:
        save_file(tensors, partial, metadata=dict(features.origin))


def _read(path: Path) -> tuple[Arrays, Mapping[str, str]]:
    from safetensors import safe_open

    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}, {}
    with safe_open(path, framework="numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
        return tensors, file.metadata() or {}


def read_caches(folder: Path, medium: str) -> dict[str, Features]:
    """av-benchmark's of ``sound`` or ``picture`` (or video) in ``folder``, by embedder, if any.

    They are read without pickle.

    Raises:
        InputError: if a file is damaged or something else.
    """
    features = {}
    for embedder, places in _CACHES[medium].items():
        embeddings, logits = (_arrays(folder, place) for place in places)
        if embeddings or logits:
            features[embedder] = make_features(str(folder), embeddings, logits, AV_BENCHMARK)
    return features


def _arrays(folder: Path, place: str) -> dict[str, NDArray[np.generic]]:
    import torch

    file, _, key = place.partition("/")
    path = folder / f"{file}.pth"
    if not path.is_file():
        return {}
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} is not a cache of av-benchmark: {reason}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a cache of av-benchmark: it holds no dictionary")
    arrays = {}
    for name, value in values.items():
        tensor = value.get(key) if key and isinstance(value, dict) else value
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"the av-benchmark cache {path} has no tensor {key} of {name}")
        arrays[str(name)] = tensor.float().numpy()
    return arrays
