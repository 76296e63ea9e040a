"""The models that a bundle holds: its weights file is a checkpoint as well."""

from echoes_export.bundle.models import Models
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_training.bundles import read_weights
from echoes_training.checkpoint import BUNDLE_WEIGHTS
from echoes_training.config import from_dict
from echoes_training.models.confidence import Confidence, ConfidenceConfig
from echoes_training.models.transformer import MaskedTransformer, TransformerConfig
from echoes_training.models.vocoder import VocoderConfig, make_vocoder
from echoes_training.stages.codecs import codec_config, make_codec


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
