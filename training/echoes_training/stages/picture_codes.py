"""Pictures, and views of them, as the codes of a trained codec."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

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
