"""Trained codecs, from their runs or from a bundle."""

from dataclasses import dataclass
from pathlib import Path

from echoes_rt.errors import BundleError
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.mel import MelSpec
from echoes_training import checkpoint
from echoes_training.bundles import Source, read_weights
from echoes_training.config import VQGANStageConfig, from_dict
from echoes_training.models.vqgan import VQGAN, VQGANConfig


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A codec that is only used, and the media that it was made for."""

    model: VQGAN
    image: ImageSpec
    mel: MelSpec


def load_codec(run: Path) -> tuple[VQGAN, VQGANStageConfig]:
    """A trained codec, ready to encode and decode, with its settings."""
    config = from_dict(VQGANStageConfig, checkpoint.load_config(run)["config"])
    model = VQGAN(config.model)
    checkpoint.load_module(run, "vqgan", model)
    return model.eval().requires_grad_(False), config


def codec_of_run(run: Path) -> Codec:
    model, config = load_codec(run)
    return Codec(model=model, image=config.image, mel=config.mel)


def codecs_of_bundle(source: Source) -> tuple[Codec, Codec]:
    """Of pictures and of mels.

    Raises:
        InputError: if ``source`` is a run.
        BundleError: if the bundle holds no codecs of this program.
    """
    manifest = source.manifest
    assert source.bundle is not None
    shapes, states = read_weights(source.bundle)

    def codec(name: str) -> Codec:
        try:
            model = VQGAN(from_dict(VQGANConfig, shapes[name]))
            model.load_state_dict(states[name])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise BundleError(f"bundle {manifest.name} has no {name}: {reason}") from error
        model.eval().requires_grad_(False)
        return Codec(model=model, image=manifest.image, mel=manifest.mel)

    return codec("image_vqgan"), codec("mel_vqgan")
