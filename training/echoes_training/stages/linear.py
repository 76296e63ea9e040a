"""Logistic regression, fitted to its optimum."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
