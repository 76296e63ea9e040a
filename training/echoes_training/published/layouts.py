"""Which of our networks each published checkpoint is, and what its tensors are called there."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_training.config import VocoderStageConfig, VQGANStageConfig
from echoes_training.models.vocoder import VocoderConfig, make_vocoder
from echoes_training.models.vqgan import VQGAN
from echoes_training.presets import PRESETS

USAGE = "quantize.usage"
"""Our own buffer, which no published codec has."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A kind of published checkpoint.

    Attributes:
        config: what a run of our stage would have as its settings.
        sources: by our name of a tensor, the names it has there; two are a weight's norm and
            direction, to be multiplied.
        dropped: beginnings of the names of tensors that served training alone.
        aliases: patterns and replacements for names of other ports of the same network.
    """

    stage: str
    config: VQGANStageConfig | VocoderStageConfig
    sources: Callable[[str], tuple[str, ...]]
    dropped: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()

    def module(self) -> nn.Module:
        if isinstance(self.config, VocoderStageConfig):
            return make_vocoder(self.config.model, self.config.mel)
        return VQGAN(self.config.model)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Our module with the published weights, and how many tensors were left out."""

    module: nn.Module
    n_dropped: int


def convert(tensors: dict[str, Tensor], layout: Layout) -> Converted:
    """Fills our network; every tensor of the checkpoint must have its place, and every place one.

    Raises:
        InputError: naming the tensors that are missing, unknown, of another shape or not finite.
    """
    kept = {
        _canonical(k, layout): v for k, v in tensors.items() if not k.startswith(layout.dropped)
    }
    with torch.device("meta"):
        module = layout.module()
    wanted = {k: v for k, v in module.state_dict().items() if k != USAGE}
    sources = {name: layout.sources(name) for name in wanted}
    known = [source for pair in sources.values() for source in pair]
    _refuse("it lacks", [name for name in known if name not in kept])
    _refuse("the network has no", [name for name in kept if name not in set(known)])
    state = {
        name: _tensor(kept, names, tuple(wanted[name].shape)) for name, names in sources.items()
    }
    if isinstance(module, VQGAN):
        # All alive: further training must not move codes before it has seen them unused.
        size = module.config.codebook_size
        state[USAGE] = torch.full((size,), 1 / size)
    module.load_state_dict(state, assign=True)
    return Converted(module=module.eval(), n_dropped=len(tensors) - len(kept))


def _canonical(name: str, layout: Layout) -> str:
    for pattern, replacement in layout.aliases:
        name = re.sub(pattern, replacement, name)
    return name


def _refuse(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise InputError(f"{what} {', '.join(names[:3])}{more}")


def _tensor(kept: dict[str, Tensor], names: tuple[str, ...], shape: tuple[int, ...]) -> Tensor:
    *norms, name = names
    _check_shape(name, kept[name], shape)
    tensor = kept[name].float()
    for norm in norms:
        _check_shape(norm, kept[norm], (shape[0], *[1] * (len(shape) - 1)))
        length = tensor.flatten(1).norm(dim=1).view_as(kept[norm])
        tensor = tensor * (kept[norm].float() / length)
    if not tensor.isfinite().all():
        raise InputError(f"{name} has values that are not finite")
    return tensor


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise InputError(f"{name} is {_sizes(tensor.shape)}, the network's is {_sizes(shape)}")


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _melgan_sources(config: VocoderConfig) -> Callable[[str], tuple[str, ...]]:
    """There everything lies in one sequence, in which activations and paddings count too."""
    level_size = 2 + config.layers
    places = {"conv_in": "1", "conv_out": str(4 + len(config.ratios) * level_size)}
    for i in range(len(config.ratios)):
        first = 2 + i * level_size
        places[f"levels.{i}.upsample"] = str(first + 1)
        for j in range(config.layers):
            block = f"levels.{i}.blocks.{j}"
            places[f"{block}.dilated"] = f"{first + 2 + j}.block.2"
            places[f"{block}.pointwise"] = f"{first + 2 + j}.block.4"
            places[f"{block}.shortcut"] = f"{first + 2 + j}.shortcut"

    def sources(name: str) -> tuple[str, ...]:
        layer, _, kind = name.rpartition(".")
        place = f"model.{places[layer]}"
        if kind == "weight":
            return (f"{place}.weight_g", f"{place}.weight_v")
        return (f"{place}.{kind}",)

    return sources


def _itself(name: str) -> tuple[str, ...]:
    return (name,)


def melgan(config: VocoderStageConfig) -> Layout:
    return Layout(stage="vocoder", config=config, sources=_melgan_sources(config.model))


def codec(stage: str, config: VQGANStageConfig) -> Layout:
    """Our codec has taming-transformers' names, which MAGE and SpecVQGAN kept."""
    aliases: tuple[tuple[str, str], ...] = ()
    if config.model.is_maskgit:
        # The names of the port in open-muse.
        aliases = (
            (r"\.mid\.0\.", ".mid.block_1."),
            (r"\.mid\.1\.", ".mid.block_2."),
            (r"\.upsample_conv\.", ".upsample.conv."),
        )
    return Layout(stage=stage, config=config, sources=_itself, dropped=("loss.",), aliases=aliases)


def _published() -> dict[str, Layout]:
    base = PRESETS["base"]
    image, mel = base.image_codec, base.mel_codec
    assert isinstance(image, VQGANStageConfig)
    assert isinstance(mel, VQGANStageConfig)
    maskgit = replace(
        image,
        model=replace(image.model, variant="maskgit", attention=False),
        # It reads and writes [0, 1].
        image=ImageSpec(height=256, width=256, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    )
    generator = VocoderConfig(architecture="melgan", width=32, layers=3, ratios=(8, 8, 2, 2))
    return {
        "taming": codec("image_codec", image),
        "maskgit": codec("image_codec", maskgit),
        "specvqgan": codec("mel_codec", mel),
        "melgan": melgan(replace(base.vocoder, model=generator)),
    }


LAYOUTS = _published()
