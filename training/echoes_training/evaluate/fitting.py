"""How both judges learn, and how they are kept."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from echoes_rt.io.output_file import written
from echoes_training.evaluate.network import SmallResNet

logger = logging.getLogger(__name__)

Draw = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(B,) numbers of examples to varied inputs and their targets, as cross-entropy takes them."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a judge is trained: AdamW at one cycle of learning rates."""

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


@torch.no_grad()
def verdicts_of(model: SmallResNet, inputs: Tensor) -> Verdicts:
    embeddings = model.embed(inputs)
    predicted = model.head(embeddings).argmax(dim=1)
    return Verdicts(predicted=predicted.numpy(), embeddings=embeddings.double().numpy())


def fit(model: SmallResNet, numbers: Tensor, draw: Draw, config: FitConfig) -> None:
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


def kept_path(cache: Path, kind: str, key: dict[str, Any]) -> Path:
    """The file of a judge of that kind; ``key`` holds all that it was made from."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache / f"{kind}-{name}.safetensors"


def load_kept(path: Path) -> dict[str, Tensor] | None:
    if not path.is_file():
        return None
    logger.info("classifier from %s", path)
    return load_file(path)


def save_kept(tensors: dict[str, Tensor], path: Path) -> None:
    with written(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
