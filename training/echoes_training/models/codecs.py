"""The codec that a config describes."""

from typing import Any

from echoes_training.config import from_dict
from echoes_training.models.codec import Codec, CodecConfig
from echoes_training.models.image_codec import ImageCodec, ImageCodecConfig
from echoes_training.models.mel_codec import MelCodec, MelCodecConfig
from echoes_training.models.vqgan import VQGAN, VQGANConfig

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
