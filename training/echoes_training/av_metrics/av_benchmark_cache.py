"""The caches that av-benchmark leaves (github.com/hkchengrex/av-benchmark), read without pickle.

Each is a dictionary by file name; ``imagebind_video`` lies among the caches of the reference.
"""

import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_training.av_metrics.features import Features, make_features

ORIGIN = {"made_by": "av-benchmark"}

CACHES: dict[str, dict[str, tuple[str, str]]] = {
    "picture": {"imagebind": ("imagebind_video", "")},
    "sound": {
        "vggish": ("vggish_features", ""),
        "panns": ("pann_features/2048", "pann_features/logits"),
        "passt": ("passt_features_embed", "passt_logits"),
        "imagebind": ("imagebind_audio", ""),
    },
}
"""By medium and embedder the files of embeddings and of logits, and what holds them in there."""


def read_caches(folder: Path, medium: str) -> dict[str, Features]:
    """Those of ``sound`` or of ``picture`` (or video) that lie in ``folder``, by embedder.

    Raises:
        InputError: if a file is damaged or something else.
    """
    features = {}
    for embedder, places in CACHES[medium].items():
        embeddings, logits = (_arrays(folder, place) for place in places)
        if embeddings or logits:
            features[embedder] = make_features(str(folder), embeddings, logits, ORIGIN)
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
