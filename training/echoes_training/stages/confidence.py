"""Fits the head that says whether a picture shows what sounds were learnt for."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training.config import from_dict
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip
from echoes_training.models.confidence import Confidence, ConfidenceConfig
from echoes_training.stages.codecs import TrainedCodec
from echoes_training.stages.picture_codes import codes_of, fit_linear

SPARED_EVERY = 3
"""One in so many categories without a label, by name, is never shown to the head: it is measured
on these as on pictures that nobody thought of."""

REFUSED_SHARE = 0.05
"""Of the labelled validation pictures, what the threshold costs."""

WEIGHT_DECAY = 1e-3
"""Picked on validation among powers of ten."""

_CODEBOOK = "codebook"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Figures on validation pictures: known ones, and ones of categories that no label uses.

    Attributes:
        refused: share that is below the threshold, of known pictures, of categories that the head
            was shown, and of those that it was spared.
        auroc: chance that a known picture has more confidence than another one.
    """

    n_pictures: dict[str, int]
    refused: dict[str, float]
    auroc: dict[str, float]


def fit_confidence(
    codec: TrainedCodec, clips: Sequence[Clip], *, views: int
) -> tuple[Confidence, Measured]:
    """Fits on ``views`` views of the training pictures; the threshold comes from validation.

    Raises:
        InputError: if a split lacks pictures with a label, or without one.
    """
    pictures = [clip for clip in clips if clip.image and clip.split != "heldout"]
    known = sorted({clip.category for clip in pictures if clip.label})
    others = sorted({clip.category for clip in pictures if not clip.label})
    spared = others[SPARED_EVERY - 1 :: SPARED_EVERY]
    shown = [*known, *(name for name in others if name not in spared)]
    taught = [clip for clip in pictures if clip.split == "train" and clip.category in shown]
    asked = [clip for clip in pictures if clip.split == "validation"]
    for split, members in (("train", taught), ("validation", asked)):
        for is_known, text in ((True, "with a label"), (False, "without a label")):
            if not any(bool(clip.label) == is_known for clip in members):
                raise InputError(
                    f"confidence needs pictures {text} in the split {split}, and the index has none"
                )
    store = ImageStore(codec.image)
    x = codec.model.summary(codes_of(codec, taught, store, views=views))
    wanted = torch.tensor([shown.index(clip.category) for clip in taught])
    head = Confidence(
        ConfidenceConfig(
            n_features=x.shape[1], n_known=len(known), n_others=len(shown) - len(known)
        )
    )
    head.linear = fit_linear(x, wanted.repeat_interleave(views), len(shown), decay=WEIGHT_DECAY)
    head.eval().requires_grad_(False)
    scores: NDArray[np.float32] = head.log_odds(
        codec.model.summary(codes_of(codec, asked, store))
    ).numpy()
    groups = {
        "known": np.array([bool(clip.label) for clip in asked]),
        "others": np.array([not clip.label and clip.category in shown for clip in asked]),
        "spared": np.array([clip.category in spared for clip in asked]),
    }
    threshold = float(np.quantile(scores[groups["known"]], REFUSED_SHARE))
    head.shift(-threshold)
    return head, _measured(scores - threshold, groups)


def _measured(scores: NDArray[np.float32], groups: dict[str, NDArray[np.bool_]]) -> Measured:
    members = {name: scores[chosen] for name, chosen in groups.items() if chosen.any()}
    known = members["known"]
    return Measured(
        n_pictures={name: len(found) for name, found in members.items()},
        refused={name: round(float((found < 0).mean()), 4) for name, found in members.items()},
        auroc={
            name: round(float((known[:, None] > found).mean()), 4)
            for name, found in members.items()
            if name != "known"
        },
    )


def save_confidence(path: Path, head: Confidence, codec: TrainedCodec, measured: Measured) -> None:
    """Writes one safetensors file, complete or not at all; it says which codes the head reads."""
    tensors = {**head.state_dict(), _CODEBOOK: codec.model.codebook.detach().float()}
    about = {"config": asdict(head.config), "validation": asdict(measured)}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with written(path) as partial:
        save_file(contiguous, partial, metadata={"confidence": json.dumps(about)})


def load_confidence(path: Path) -> tuple[Confidence, NDArray[np.float32]]:
    """A head, and the codebook of the codes that it reads.

    Raises:
        InputError: if the file holds none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()["confidence"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        codebook = tensors.pop(_CODEBOOK).numpy()
        head = Confidence(from_dict(ConfidenceConfig, about["config"]))
        head.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} holds no confidence; make it with echoes-train confidence"
        ) from error
    return head.eval().requires_grad_(False), codebook
