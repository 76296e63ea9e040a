"""The codec that a config describes, and trained ones, from their runs or from a bundle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echoes_rt.errors import BundleError
from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec
from echoes_training import checkpoint
from echoes_training.bundles import Source, open_source, read_weights
from echoes_training.config import from_dict
from echoes_training.models.codec import Codec, CodecConfig
from echoes_training.models.image_codec import ImageCodec, ImageCodecConfig
from echoes_training.models.mel_codec import MelCodec, MelCodecConfig
from echoes_training.models.vqgan import VQGAN, VQGANConfig

CODEC = "codec"
"""Name of the module that every stage of a codec keeps in its checkpoints."""

_ARCHITECTURES: dict[str, tuple[type[Any], type[Any]]] = {
    "vqgan": (VQGANConfig, VQGAN),
    "image": (ImageCodecConfig, ImageCodec),
    "mel": (MelCodecConfig, MelCodec),
}
"""Config and module by ``CodecConfig.architecture``."""


def codec_config(values: dict[str, Any]) -> CodecConfig:
    """The inverse of ``config.to_dict`` for the shape of any codec.

    Raises:
        ValueError: if there is no such architecture, or it refuses a value.
    """
    architecture = values.get("architecture")
    if architecture not in _ARCHITECTURES:
        raise ValueError(
            f"codec architecture must be one of {', '.join(_ARCHITECTURES)}, got {architecture!r}"
        )
    config: CodecConfig = from_dict(_ARCHITECTURES[architecture][0], values)
    return config


def make_codec(config: CodecConfig) -> Codec:
    codec: Codec = _ARCHITECTURES[config.architecture][1](config)
    return codec


@dataclass(frozen=True, kw_only=True)
class TrainedCodec:
    """A codec that is only used, and the media that it was made for."""

    model: Codec
    image: ImageSpec
    mel: MelSpec


def codec_of_run(run: Path) -> TrainedCodec:
    """A trained codec of any architecture, ready to encode and decode."""
    settings = checkpoint.load_config(run)["config"]
    model = make_codec(codec_config(settings["model"]))
    checkpoint.load_module(run, CODEC, model)
    return TrainedCodec(
        model=model.eval().requires_grad_(False),
        image=from_dict(ImageSpec, settings["image"]),
        mel=from_dict(MelSpec, settings["mel"]),
    )


def image_codec_of(place: str) -> TrainedCodec:
    """The picture codec of its run, or of a bundle: a folder, .zip or name."""
    source = open_source(place)
    return codec_of_run(source.folder) if source.bundle is None else codecs_of_bundle(source)[0]


def codecs_of_bundle(source: Source) -> tuple[TrainedCodec, TrainedCodec]:
    """Of pictures and of mels.

    Raises:
        InputError: if ``source`` is a run.
        BundleError: if the bundle holds no codecs of this program.
    """
    manifest = source.manifest
    assert source.bundle is not None
    shapes, states = read_weights(source.bundle)

    def codec(name: str) -> TrainedCodec:
        try:
            model = make_codec(codec_config(shapes[name]))
            model.load_state_dict(states[name])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise BundleError(f"bundle {manifest.name} has no {name}: {reason}") from error
        model.eval().requires_grad_(False)
        return TrainedCodec(model=model, image=manifest.image, mel=manifest.mel)

    return codec("image_codec"), codec("mel_codec")
