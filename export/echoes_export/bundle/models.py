"""The trained models that make up a bundle."""

import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.tokens import TokenLayout
from echoes_training.bundles import read_weights
from echoes_training.checkpoint import BUNDLE_WEIGHTS
from echoes_training.config import from_dict
from echoes_training.models.codec import Codec
from echoes_training.models.confidence import Confidence, ConfidenceConfig
from echoes_training.models.melgan import MelGAN
from echoes_training.models.transformer import MaskedTransformer, TransformerConfig
from echoes_training.models.vocoder import Vocoder, VocoderConfig, make_vocoder
from echoes_training.presets import Preset
from echoes_training.stages.codecs import codec_config, make_codec


@dataclass(frozen=True, kw_only=True)
class Models:
    """Modules in evaluation mode and the contracts that they were trained for.

    Attributes:
        configs: the shape of each module by its name, ready for JSON.
        confidence: whether a picture shows what the transformer knows, where that was learnt.
    """

    image_codec: Codec
    mel_codec: Codec
    vocoder: Vocoder | MelGAN
    transformer: MaskedTransformer
    image: ImageSpec
    mel: MelSpec
    layout: TokenLayout
    configs: dict[str, dict[str, Any]]
    confidence: Confidence | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """By the names that their weights have in a bundle."""
        modules: dict[str, nn.Module] = {
            "image_codec": self.image_codec,
            "mel_codec": self.mel_codec,
            "vocoder": self.vocoder,
            "transformer": self.transformer,
        }
        if self.confidence is not None:
            modules["confidence"] = self.confidence
        return modules

    def copy(self) -> "Models":
        return replace(self, **copy.deepcopy(self.modules))  # type: ignore[arg-type]


def random_models(preset: Preset, seed: int) -> Models:
    """Untrained models of a preset's sizes; the same seed gives the same weights.

    Start values would hide mistakes of an export: biases, norms and running means are neutral, all
    inputs have nearly the same codes, and the transformer's scores are nearly equal.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        image, mel = preset.image_codec.model, preset.mel_codec.model
        models = Models(
            image_codec=make_codec(image),
            mel_codec=make_codec(mel),
            vocoder=make_vocoder(preset.vocoder.model, preset.mel),
            transformer=MaskedTransformer(preset.transformer.model, preset.layout),
            image=preset.image,
            mel=preset.mel,
            layout=preset.layout,
            configs={
                "image_codec": asdict(image),
                "mel_codec": asdict(mel),
                "vocoder": asdict(preset.vocoder.model),
                "transformer": asdict(preset.transformer.model),
            },
        )
        for module in models.modules.values():
            module.eval().requires_grad_(False)
            for tensor in module.state_dict().values():
                if tensor.ndim == 1:
                    tensor.add_(0.1 * torch.rand_like(tensor))
        models.image_codec.spread_codes(torch.randn(2, 3, models.image.height, models.image.width))
        models.mel_codec.spread_codes(torch.randn(2, 1, models.mel.n_mels, models.mel.n_frames))
        for medium in (models.transformer.image, models.transformer.audio):
            for parameter in medium.parameters():
                parameter.mul_(10)
        for layer in models.transformer.blocks:
            layer.get_submodule("attention.out").get_parameter("weight").mul_(5)
    return models


def stored_models(bundle: Bundle) -> Models:
    """The models whose weights a bundle holds, with the values that it stores.

    Raises:
        BundleError: if the bundle holds no models of this program.
    """
    manifest = bundle.manifest
    configs, weights = read_weights(bundle)
    try:
        image_codec, mel_codec = (
            make_codec(codec_config(configs[f"{medium}_codec"])) for medium in ("image", "mel")
        )
        vocoder = make_vocoder(from_dict(VocoderConfig, configs["vocoder"]), manifest.mel)
        shape = from_dict(TransformerConfig, configs["transformer"])
        transformer = MaskedTransformer(shape, manifest.tokens)
        head = configs.get("confidence")
        models = Models(
            image_codec=image_codec,
            mel_codec=mel_codec,
            vocoder=vocoder,
            transformer=transformer,
            image=manifest.image,
            mel=manifest.mel,
            layout=manifest.tokens,
            configs=configs,
            confidence=Confidence(from_dict(ConfidenceConfig, head)) if head else None,
        )
        for name, module in models.modules.items():
            module.load_state_dict(weights[name])
            module.eval().requires_grad_(False)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BundleError(
            f"{bundle.folder / BUNDLE_WEIGHTS} does not hold the models of bundle "
            f"{manifest.name}: {reason}"
        ) from error
    return models
