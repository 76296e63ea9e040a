"""The four trained models that make up a bundle."""

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from echoes_rt.errors import InputError
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.mel import MelSpec
from echoes_rt.spec.tokens import Grid, TokenLayout
from echoes_training import checkpoint
from echoes_training.config import TransformerStageConfig, VocoderStageConfig, from_dict
from echoes_training.models.melgan import MelGAN
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.models.vocoder import Vocoder, make_vocoder
from echoes_training.models.vqgan import VQGAN, VQGANConfig
from echoes_training.presets import Preset
from echoes_training.stages.tokenize import load_codec


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The folders of the four training runs."""

    image_vqgan: Path
    mel_vqgan: Path
    vocoder: Path
    transformer: Path


@dataclass(frozen=True, kw_only=True)
class Models:
    """Modules in evaluation mode and the contracts that they were trained for.

    Attributes:
        configs: the shape of each module by its name, ready for JSON.
    """

    image_vqgan: VQGAN
    mel_vqgan: VQGAN
    vocoder: Vocoder | MelGAN
    transformer: MaskedTransformer
    image: ImageSpec
    mel: MelSpec
    layout: TokenLayout
    configs: dict[str, dict[str, Any]]

    @property
    def modules(self) -> dict[str, nn.Module]:
        """By the names that their weights have in a bundle."""
        return {
            "image_vqgan": self.image_vqgan,
            "mel_vqgan": self.mel_vqgan,
            "vocoder": self.vocoder,
            "transformer": self.transformer,
        }

    def copy(self) -> "Models":
        return replace(self, **copy.deepcopy(self.modules))  # type: ignore[arg-type]


def load_models(runs: Runs) -> Models:
    """Loads the newest checkpoint of each run.

    Raises:
        InputError: if a run has no checkpoint, is of another stage, or does not fit the others.
    """
    for name, run in vars(runs).items():
        _check_stage(run, name)
    image_vqgan, image_config = _read(runs.image_vqgan, load_codec)
    mel_vqgan, mel_config = _read(runs.mel_vqgan, load_codec)
    vocoder, vocoder_config = _read(runs.vocoder, _load_vocoder)
    transformer, transformer_config = _read(runs.transformer, _load_transformer)
    image, mel, layout = image_config.image, mel_config.mel, transformer_config.layout
    _check_grid(runs.image_vqgan, layout.image, image_config.model, (image.height, image.width))
    _check_grid(runs.mel_vqgan, layout.audio, mel_config.model, (mel.n_mels, mel.n_frames))
    if replace(vocoder_config.mel, n_frames=mel.n_frames) != mel:
        raise InputError(
            f"{runs.vocoder} and {runs.mel_vqgan} were trained on different mels "
            f"({vocoder_config.mel} and {mel}); train one of them again"
        )
    return Models(
        image_vqgan=image_vqgan,
        mel_vqgan=mel_vqgan,
        vocoder=vocoder,
        transformer=transformer,
        image=image,
        mel=mel,
        layout=layout,
        configs={
            "image_vqgan": asdict(image_config.model),
            "mel_vqgan": asdict(mel_config.model),
            "vocoder": asdict(vocoder_config.model),
            "transformer": asdict(transformer_config.model),
        },
    )


def random_models(preset: Preset, seed: int) -> Models:
    """Untrained models of a preset's sizes; the same seed gives the same weights.

    Start values would hide mistakes of an export: biases, norms and running means are neutral, all
    inputs have nearly the same codes, and the transformer's scores are nearly equal.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        models = Models(
            image_vqgan=VQGAN(preset.image_vqgan.model),
            mel_vqgan=VQGAN(preset.mel_vqgan.model),
            vocoder=make_vocoder(preset.vocoder.model, preset.mel),
            transformer=MaskedTransformer(preset.transformer.model, preset.layout),
            image=preset.image,
            mel=preset.mel,
            layout=preset.layout,
            configs={
                name: asdict(getattr(preset, name).model)
                for name in ("image_vqgan", "mel_vqgan", "vocoder", "transformer")
            },
        )
        for module in models.modules.values():
            module.eval().requires_grad_(False)
            for tensor in module.state_dict().values():
                if tensor.ndim == 1:
                    tensor.add_(0.1 * torch.rand_like(tensor))
        _centre(models.image_vqgan, (2, 3, models.image.height, models.image.width))
        _centre(models.mel_vqgan, (2, 1, models.mel.n_mels, models.mel.n_frames))
        for medium in (models.transformer.image, models.transformer.audio):
            for parameter in medium.parameters():
                parameter.mul_(10)
        for layer in models.transformer.blocks:
            layer.get_submodule("attention.out").get_parameter("weight").mul_(5)
    return models


def _centre(codec: VQGAN, shape: tuple[int, ...]) -> None:
    """Moves the latents of noise around zero, so that the codes tell inputs apart."""
    last = codec.encoder.conv_out if codec.config.is_maskgit else codec.quant_conv
    bias = last.get_parameter("bias")
    bias.sub_(codec.latents(torch.randn(shape)).mean(dim=(0, 2, 3)))


def _check_stage(run: Path, stage: str) -> None:
    found = checkpoint.load_config(run).get("stage")
    if found != stage:
        raise InputError(f"{run} is a run of {found}, expected one of {stage}")


def _read(run: Path, load: Any) -> Any:
    """Damaged runs become one sentence; safetensors' own errors say nothing of the run."""
    from safetensors import SafetensorError

    try:
        return load(run)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the checkpoint of {run} cannot be loaded: {reason}") from error


def _load_vocoder(run: Path) -> tuple[Vocoder | MelGAN, VocoderStageConfig]:
    config = from_dict(VocoderStageConfig, checkpoint.load_config(run)["config"])
    return _ready(run, "vocoder", make_vocoder(config.model, config.mel)), config


def _load_transformer(run: Path) -> tuple[MaskedTransformer, TransformerStageConfig]:
    config = from_dict(TransformerStageConfig, checkpoint.load_config(run)["config"])
    return _ready(run, "transformer", MaskedTransformer(config.model, config.layout)), config


def _ready(run: Path, name: str, module: Any) -> Any:
    checkpoint.load_module(run, name, module)
    return module.eval().requires_grad_(False)


def _check_grid(run: Path, grid: Grid, codec: VQGANConfig, size: tuple[int, int]) -> None:
    made = (size[0] // codec.factor, size[1] // codec.factor, codec.codebook_size)
    wanted = (grid.height, grid.width, grid.codebook_size)
    if made != wanted:
        raise InputError(
            f"the codec of {run} makes {made[0]} x {made[1]} codes of {made[2]}, the transformer "
            f"reads {wanted[0]} x {wanted[1]} of {wanted[2]}; train the transformer on its codes"
        )
