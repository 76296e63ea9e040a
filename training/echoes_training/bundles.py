"""Bundles as training takes them: their weights file is a checkpoint of every model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from echoes_rt.bundle import Bundle, find_bundle
from echoes_rt.errors import BundleError, InputError
from echoes_rt.format.manifest import Manifest
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import TokenLayout
from echoes_training import checkpoint
from echoes_training.checkpoint import BUNDLE_WEIGHTS
from echoes_training.config import TransformerStageConfig, from_dict
from echoes_training.models.transformer import TransformerConfig

Shapes = dict[str, dict[str, Any]]
States = dict[str, dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where trained weights come from: a run, or a bundle, which must be kept while it is read.

    Attributes:
        folder: of the run, or of the bundle's files.
        bundle: None for a run.
    """

    folder: Path
    bundle: Bundle | None

    @property
    def place(self) -> str:
        """For messages."""
        return str(self.folder if self.bundle is None else self.bundle.source)

    @property
    def manifest(self) -> Manifest:
        """Raises InputError if this is a run."""
        if self.bundle is None:
            raise InputError(f"{self.folder} is a training run, expected a bundle")
        return self.bundle.manifest

    @property
    def is_folded(self) -> bool:
        """Whether guidance is folded into its transformer."""
        if self.bundle is None:
            return folded_sampling(self.folder) is not None
        return self.bundle.manifest.sampling.is_folded

    def transformer_shape(self) -> tuple[TransformerConfig, TokenLayout]:
        """Raises InputError or BundleError if it holds no transformer of this program."""
        if self.bundle is None:
            values = checkpoint.load_config(self.folder)
            if values.get("stage") != "transformer":
                raise InputError(
                    f"{self.folder} is a run of {values.get('stage')}, expected one of transformer"
                )
            config = from_dict(TransformerStageConfig, values["config"])
            return config.model, config.layout
        shapes, _ = read_weights(self.bundle)
        return from_dict(TransformerConfig, shapes["transformer"]), self.manifest.tokens


def open_source(place: str) -> Source:
    """A run by its folder, or a bundle by its folder, .zip or name.

    Raises:
        InputError: if it is neither.
    """
    folder = Path(place)
    if checkpoint.config_file(folder).is_file():
        return Source(folder=folder, bundle=None)
    try:
        bundle = find_bundle(place)
    except BundleError as error:
        raise InputError(f"{place} is neither a training run nor a bundle: {error}") from error
    return Source(folder=bundle.folder, bundle=bundle)


def folded_sampling(run: Path) -> Sampling | None:
    """How the transformer of a run decodes that learnt a guided teacher's answers; None of others.

    Raises:
        InputError: if ``run`` is not the folder of a training run.
    """
    taught = checkpoint.load_config(run).get("distill")
    if taught is None:
        return None
    return Sampling(steps=taught["steps"][0], guidance_scale=1.0, guidance="folded")


def read_weights(bundle: Bundle) -> tuple[Shapes, States]:
    """The shape of every model and its state in single precision, by the model's name.

    Raises:
        BundleError: if the bundle has no models of this program.
    """
    path = bundle.folder / BUNDLE_WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            shapes: Shapes = json.loads(file.metadata()["models"])
            states: States = {name: {} for name in shapes}
            for key in file.keys():  # noqa: SIM118 (no dict)
                part, name = key.split(".", 1)
                tensor = file.get_tensor(key)
                is_half = tensor.dtype == torch.float16
                states[part][name] = tensor.float() if is_half else tensor
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{path} does not hold the models of bundle {bundle.manifest.name}: {error}"
        ) from error
    return shapes, states
