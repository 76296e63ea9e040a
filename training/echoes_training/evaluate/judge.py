"""The judges: small residual networks, trained on the training split alone, and kept."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from echoes_rt.io.output_file import written
from echoes_training.data.index import Clip

logger = logging.getLogger(__name__)

Draw = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(B,) numbers of examples to varied inputs and their targets, as cross-entropy takes them."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How a judge is built and trained: AdamW at one cycle of learning rates.

    Attributes:
        width: of the first stage; each one doubles it.
        embedding_dim: of what the last layer reads.
    """

    width: int
    embedding_dim: int
    dropout: float
    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    label_smoothing: float
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Of N inputs: (N,) predicted label numbers and (N, D) embeddings."""

    predicted: NDArray[np.int64]
    embeddings: NDArray[np.float64]


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


class Classifier(nn.Module):
    """(B, C, H, W) to (B, n_labels) logits, any H and W; each stage but the first halves them."""

    def __init__(self, config: JudgeConfig, *, channels: int, stages: int, n_labels: int) -> None:
        super().__init__()
        widths = [config.width * 2**stage for stage in range(stages)]
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.body = nn.Sequential(
            nn.Conv2d(channels, widths[0], 7, 4, 3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *(_Residual(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(pairs)),
        )
        self.project = nn.Linear(2 * widths[-1], config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.embedding_dim, n_labels)

    def embed(self, inputs: Tensor) -> Tensor:
        """(B, embedding_dim), what the last layer reads."""
        features = self.body(inputs)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return F.relu(self.project(pooled))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(inputs)))

    @torch.no_grad()
    def verdicts(self, inputs: Tensor) -> Verdicts:
        embeddings = self.embed(inputs)
        predicted = self.head(embeddings).argmax(dim=1)
        return Verdicts(predicted=predicted.numpy(), embeddings=embeddings.double().numpy())


def numbers_of(rows: Sequence[Clip], labels: Sequence[str]) -> Tensor:
    """(N,) label numbers of what a judge is to learn from.

    Raises:
        ValueError: if a row is held out.
    """
    if leaked := [clip for clip in rows if clip.split != "train"]:
        raise ValueError(f"held-out media must never train a judge, got {leaked[0]}")
    return torch.tensor([labels.index(clip.label or "") for clip in rows])


def kept(
    cache: Path,
    kind: str,
    key: dict[str, Any],
    seed: int,
    make: Callable[[], Classifier],
    learn: Callable[[Classifier], None],
) -> Classifier:
    """What ``learn`` makes of a new model, from ``cache`` if it is there.

    Args:
        cache: the folder.
        kind: of the judge.
        key: all that it is made from.
        seed: of the random numbers while it is made.
        make: gives an untrained one.
        learn: trains it.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"{kind}-{name}.safetensors"
    if path.is_file():
        logger.info("classifier from %s", path)
        model = make()
        model.load_state_dict(load_file(path))
        return model.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        learn(model)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with written(path) as partial:
        save_file(tensors, partial)
    return model


def fit(model: Classifier, numbers: Tensor, draw: Draw, config: JudgeConfig) -> None:
    """Trains on examples of (N,) label numbers; every label is seen equally often."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.lr, total_steps=config.steps, pct_start=0.2
    )
    generator = torch.Generator().manual_seed(config.seed)
    weights = 1 / torch.bincount(numbers, minlength=model.head.out_features)[numbers]
    model.train()
    bar = tqdm(range(config.steps), desc="training the classifier", unit="step")
    for step in bar:
        picks = torch.multinomial(weights, config.batch_size, replacement=True, generator=generator)
        inputs, targets = draw(picks, generator)
        loss = F.cross_entropy(model(inputs), targets, label_smoothing=config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()
