"""Pictures, and views of them, as the codes of a trained codec, and what is read from these."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_training.data import image as image_data
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip
from echoes_training.data.views import view
from echoes_training.stages.codecs import TrainedCodec

BATCH = 32


@torch.no_grad()
def codes_of(
    codec: TrainedCodec, clips: Sequence[Clip], store: ImageStore, *, views: int = 1
) -> Tensor:
    """(len(clips) * views, h, w): of each picture the centred crop, then as many random views."""
    rows = [(str(clip.image), number) for clip in clips for number in range(views)]

    def pixels(at: int) -> image_data.Pixels:
        path, number = rows[at]
        if number == 0:
            return store.centred(path)
        rng = np.random.default_rng((0, at))
        background = store.get(str(clips[int(rng.integers(len(clips)))].image))
        return view(store.get(path), background, codec.image, rng)

    codes = []
    for at in range(0, len(rows), BATCH):
        seen = [pixels(i) for i in range(at, min(at + BATCH, len(rows)))]
        codes.append(codec.model.encode(image_data.to_batch(seen, codec.image)))
    return torch.cat(codes)


def fit_linear(features: Tensor, wanted: Tensor, n_classes: int, *, decay: float) -> nn.Linear:
    """Of ``wanted`` (N,) from ``features`` (N, D): a layer that gives (M, n_classes) logits.

    ``decay`` of the weights counts on standardised features.
    """
    mean, spread = features.mean(dim=0), features.std(dim=0) + 1e-4
    x = (features - mean) / spread
    weight = torch.zeros(x.shape[1], n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight + bias, wanted)
        value = value + 0.5 * decay * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    layer = nn.Linear(x.shape[1], n_classes).requires_grad_(False)
    scaled = weight.detach() / spread[:, None]
    layer.weight.copy_(scaled.T)
    layer.bias.copy_(bias.detach() - mean @ scaled)
    return layer
