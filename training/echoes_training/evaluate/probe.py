"""How much of what pictures show is left in a codec's codes: a linear probe on them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from echoes_rt.errors import InputError
from echoes_training.data import image as image_data
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip
from echoes_training.data.views import view
from echoes_training.stages.codecs import TrainedCodec

logger = logging.getLogger(__name__)

BATCH = 32

WEIGHT_DECAY = 0.1
"""Of the probe, on standardised features; picked on validation among powers of ten."""


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


@dataclass(frozen=True, kw_only=True)
class _Read:
    """features (N, D), codes (N, n_tokens), pixel_error (N,)."""

    features: Tensor
    codes: Tensor
    pixel_error: Tensor


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
    rows = [(clip, number) for clip in taught for number in range(views)]
    pictures = [str(clip.image) for clip in taught]

    def varied(at: int) -> image_data.Pixels:
        clip, number = rows[at]
        if number == 0:
            return store.centred(str(clip.image))
        rng = np.random.default_rng((0, at))
        background = store.get(pictures[int(rng.integers(len(pictures)))])
        return view(store.get(str(clip.image)), background, codec.image, rng)

    known = _read(codec, len(rows), varied, decode=False)
    found = _read(codec, len(asked), lambda at: store.centred(str(asked[at].image)), decode=True)
    wanted = torch.tensor([labels.index(str(clip.label)) for clip, _ in rows])
    answers = fit_linear(known.features, wanted, len(labels))(found.features).argmax(dim=1)
    hits = {label: [0, 0] for label in labels}
    for clip, answer in zip(asked, answers.tolist(), strict=True):
        counts = hits.setdefault(str(clip.label), [0, 0])
        counts[0] += labels[answer] == clip.label
        counts[1] += 1
    used = torch.bincount(found.codes.flatten()).double()
    share = used[used > 0] / used.sum()
    return Probed(
        n_pictures=len(asked),
        accuracy=sum(right for right, _ in hits.values()) / len(asked),
        by_label={label: right / count for label, (right, count) in hits.items() if count},
        codes_used=len(share),
        code_perplexity=float(torch.exp(-(share * share.log()).sum())),
        pixel_error=float(found.pixel_error.mean()),
    )


def fit_linear(features: Tensor, wanted: Tensor, n_classes: int) -> Callable[[Tensor], Tensor]:
    """Logistic regression of ``wanted`` (N,) from ``features`` (N, D); gives (M, n_classes)."""
    mean, spread = features.mean(dim=0), features.std(dim=0) + 1e-4
    x = (features - mean) / spread
    weight = torch.zeros(x.shape[1], n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight + bias, wanted)
        value = value + 0.5 * WEIGHT_DECAY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return lambda found: ((found - mean) / spread @ weight + bias).detach()


@torch.no_grad()
def _read(
    codec: TrainedCodec, count: int, pixels: Callable[[int], image_data.Pixels], *, decode: bool
) -> _Read:
    codes, errors = [], []
    for at in range(0, count, BATCH):
        x = image_data.to_batch([pixels(i) for i in range(at, min(at + BATCH, count))], codec.image)
        found = codec.model.encode(x)
        codes.append(found.flatten(1))
        if decode:
            decoded = codec.model.decode(found)
            pairs = zip(
                image_data.to_pixels(decoded, codec.image),
                image_data.to_pixels(x, codec.image),
                strict=True,
            )
            errors += [float(np.abs(a.astype(np.float32) - b).mean()) for a, b in pairs]
    together = torch.cat(codes)
    vectors = F.embedding(together, codec.model.codebook.float())
    return _Read(features=vectors.flatten(1), codes=together, pixel_error=torch.tensor(errors))
