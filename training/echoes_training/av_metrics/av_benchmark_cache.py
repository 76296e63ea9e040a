"""The caches that av-benchmark leaves (github.com/hkchengrex/av-benchmark), read without pickle.

Each is a dictionary by file name; ``imagebind_video`` lies among the caches of the reference.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_training.av_metrics.features import Features, make_features

Arrays = dict[str, NDArray[np.generic]]

ORIGIN = {"made_by": "av-benchmark"}


def read_caches(folder: Path, medium: str) -> dict[str, Features]:
    """Those of ``sound`` or of ``picture`` (or video) that lie in ``folder``, by embedder.

    Raises:
        InputError: if a file is damaged or something else.
    """
    found: dict[str, tuple[Arrays, Arrays]]
    if medium == "picture":
        found = {"imagebind": (_arrays(_read(folder / "imagebind_video.pth")), {})}
    else:
        panns = _read(folder / "pann_features.pth")
        found = {
            "vggish": (_arrays(_read(folder / "vggish_features.pth")), {}),
            "panns": (_arrays(panns, "2048"), _arrays(panns, "logits")),
            "passt": (
                _arrays(_read(folder / "passt_features_embed.pth")),
                _arrays(_read(folder / "passt_logits.pth")),
            ),
            "imagebind": (_arrays(_read(folder / "imagebind_audio.pth")), {}),
        }
    return {
        name: make_features(str(folder), embeddings, logits, ORIGIN)
        for name, (embeddings, logits) in found.items()
        if embeddings or logits
    }


def _read(path: Path) -> dict[str, Any]:
    import torch

    if not path.is_file():
        return {}
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} is not a cache of av-benchmark: {reason}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a cache of av-benchmark: it holds no dictionary")
    return {str(name): value for name, value in values.items()}


def _arrays(values: dict[str, Any], key: str | None = None) -> Arrays:
    import torch

    arrays = {}
    for name, value in values.items():
        tensor = value if key is None or not isinstance(value, dict) else value.get(key)
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"the av-benchmark cache has no tensor {key or ''} of {name}")
        arrays[name] = tensor.float().numpy()
    return arrays
