"""How much of what pictures show is left in a codec's codes: a linear probe on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from echoes_rt.errors import InputError
from echoes_training.data import image as image_data
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip
from echoes_training.stages.codec_step import code_use
from echoes_training.stages.codecs import TrainedCodec
from echoes_training.stages.picture_codes import BATCH, codes_of, fit_linear

WEIGHT_DECAY = 0.1
"""Picked on validation among powers of ten."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """Figures of one split.

    Attributes:
        accuracy: share of pictures whose label the probe names.
        by_label: the same for each label.
        codes_used: of the codebook.
        code_perplexity: exp of the entropy of the codes.
        pixel_error: mean absolute error of the decoded pictures, of 255.
    """

    n_pictures: int
    accuracy: float
    by_label: dict[str, float]
    codes_used: int
    code_perplexity: float
    pixel_error: float


def probe(codec: TrainedCodec, clips: Sequence[Clip], split: str, *, views: int) -> Probed:
    """Trains on ``views`` views of the labelled pictures of ``train``, judges those of ``split``.

    The probe is a logistic regression of the code vectors of all positions, side by side.

    Raises:
        InputError: if either split has no labelled picture.
    """
    labelled = [clip for clip in clips if clip.image and clip.label]
    taught = [clip for clip in labelled if clip.split == "train"]
    asked = [clip for clip in labelled if clip.split == split]
    for name, members in (("train", taught), (split, asked)):
        if not members:
            raise InputError(f"the index has no labelled picture of the split {name}")
    labels = sorted({clip.label for clip in taught if clip.label})
    store = ImageStore(codec.image)
    book = codec.model.codebook.float()
    known, found = codes_of(codec, taught, store, views=views), codes_of(codec, asked, store)
    vectors, asked_vectors = (
        F.embedding(codes.flatten(1), book).flatten(1) for codes in (known, found)
    )
    wanted = torch.tensor([labels.index(str(clip.label)) for clip in taught])
    wanted = wanted.repeat_interleave(views)
    head = fit_linear(vectors, wanted, len(labels), decay=WEIGHT_DECAY)
    answers = head(asked_vectors).argmax(dim=1)
    is_right = [
        labels[answer] == clip.label for clip, answer in zip(asked, answers.tolist(), strict=True)
    ]
    by_label: dict[str, list[bool]] = {}
    for clip, right in zip(asked, is_right, strict=True):
        by_label.setdefault(str(clip.label), []).append(right)
    use = code_use(found, len(book))
    return Probed(
        n_pictures=len(asked),
        accuracy=sum(is_right) / len(asked),
        by_label={label: sum(some) / len(some) for label, some in sorted(by_label.items())},
        codes_used=int(use["validation/codes_used"]),
        code_perplexity=use["validation/code_perplexity"],
        pixel_error=_pixel_error(codec, asked, found, store),
    )


@torch.no_grad()
def _pixel_error(
    codec: TrainedCodec, clips: Sequence[Clip], codes: Tensor, store: ImageStore
) -> float:
    """Of the pictures decoded from (N, h, w) codes."""
    errors = []
    for part in range(0, len(clips), BATCH):
        decoded = image_data.to_pixels(codec.model.decode(codes[part : part + BATCH]), codec.image)
        real = [store.centred(str(clip.image)) for clip in clips[part : part + BATCH]]
        pairs = zip(decoded, real, strict=True)
        errors += [np.abs(a.astype(np.float32) - b).mean() for a, b in pairs]
    return float(np.mean(errors))
