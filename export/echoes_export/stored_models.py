"""The models that a bundle holds: its weights file is a checkpoint as well."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from echoes_export.models import Models
from echoes_export.weights_file import WEIGHTS_NAME
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_training.config import from_dict
from echoes_training.models.transformer import MaskedTransformer, TransformerConfig
from echoes_training.models.vocoder import VocoderConfig, make_vocoder
from echoes_training.models.vqgan import VQGAN, VQGANConfig


def stored_models(bundle: Bundle) -> Models:
    """The models whose weights a bundle holds, with the values that it stores.

    Raises:
        BundleError: if the bundle holds no models of this program.
    """
    manifest = bundle.manifest
    path = bundle.folder / WEIGHTS_NAME
    try:
        configs, weights = _read(path)
        image_vqgan, mel_vqgan = (
            VQGAN(from_dict(VQGANConfig, configs[f"{medium}_vqgan"])) for medium in ("image", "mel")
        )
        vocoder = make_vocoder(from_dict(VocoderConfig, configs["vocoder"]), manifest.mel)
        shape = from_dict(TransformerConfig, configs["transformer"])
        transformer = MaskedTransformer(shape, manifest.tokens)
        models = Models(
            image_vqgan=image_vqgan,
            mel_vqgan=mel_vqgan,
            vocoder=vocoder,
            transformer=transformer,
            image=manifest.image,
            mel=manifest.mel,
            layout=manifest.tokens,
            configs=configs,
        )
        for name, module in models.modules.items():
            module.load_state_dict(weights[name])
            module.eval().requires_grad_(False)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BundleError(
            f"{path} does not hold the models of bundle {manifest.name}: {reason}"
        ) from error
    return models


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """The shape of every module, and its state, by the module's name."""
    with safe_open(path, framework="pt") as file:
        configs: dict[str, Any] = json.loads(file.metadata()["models"])
        weights: dict[str, dict[str, Tensor]] = {name: {} for name in configs}
        for key in file.keys():  # noqa: SIM118 (no dict)
            part, name = key.split(".", 1)
            weights[part][name] = file.get_tensor(key)
    return configs, weights
