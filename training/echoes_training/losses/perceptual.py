"""How different two inputs look to an encoder that has learnt categories."""

import torch
from torch import Tensor
from torch.nn import functional as F


def perceptual(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean over levels of the squared distance between unit-length feature vectors.

    The form of LPIPS (arXiv 1801.03924) without its learnt weights; the features are those of our
    own encoder, so no foreign network is needed.
    """
    terms = [
        (F.normalize(r.detach(), dim=1) - F.normalize(f, dim=1)).square().sum(dim=1).mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()
