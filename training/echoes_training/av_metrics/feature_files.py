"""Embeddings in files: .npz or .safetensors, with the keys ``NAME/embedding`` and ``NAME/logits``.

``np.savez(path, **{"clip1/embedding": (D,) or (R, D), "clip1/logits": (C,), ...})`` makes one.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training.av_metrics.features import Features, make_features

SUFFIXES = (".npz", ".safetensors")
KINDS = ("embedding", "logits")

Tensors = dict[str, NDArray[np.generic]]


def read_features(path: Path) -> Features:
    """Raises InputError if the file cannot be read or does not hold features."""
    from safetensors import SafetensorError

    try:
        tensors, origin = _read(path)
    except (OSError, SafetensorError, zipfile.BadZipFile, ValueError, TypeError) as error:
        raise InputError(f"{path} holds no embeddings that can be read: {error}") from error
    found: dict[str, Tensors] = {kind: {} for kind in KINDS}
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


def _read(path: Path) -> tuple[Tensors, Mapping[str, str]]:
    from safetensors import safe_open

    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}, {}
    with safe_open(path, framework="numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
        return tensors, file.metadata() or {}
