"""Whether a picture shows what sounds were learnt for, told from its codes."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ConfidenceConfig:
    """Shape of the head.

    Attributes:
        n_features: of a picture, see ``Codec.summary``.
        n_known: categories of pictures that have a label.
        n_others: categories of pictures that have none.
    """

    n_features: int
    n_known: int
    n_others: int


class Confidence(nn.Module):
    """Logistic regression over categories, the known ones first; these together are the confidence.

    The others are categories of their own, not one class: what they have in common is only that no
    label uses them, which no single direction of the features can say.
    """

    def __init__(self, config: ConfidenceConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.n_features, config.n_known + config.n_others)

    def forward(self, features: Tensor) -> Tensor:
        """(B, n_features) to (B,) in [0, 1]."""
        return self.log_odds(features).sigmoid()

    def log_odds(self, features: Tensor) -> Tensor:
        """(B, n_features) to (B,), 0 where the known categories are as likely as the others."""
        logits = self.linear(features)
        known, others = logits.split([self.config.n_known, self.config.n_others], dim=1)
        return known.logsumexp(dim=1) - others.logsumexp(dim=1)

    def shift(self, amount: float) -> None:
        """Adds to all log-odds: a confidence of ``CONFIDENT``, 0.5, is then where it is wanted."""
        self.linear.bias[: self.config.n_known] += amount
