"""Models from the newest checkpoints of training runs, or where there is no run, of a bundle."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from echoes_export.bundle.models import Models
from echoes_rt.errors import InputError
from echoes_rt.format.tokens import Grid
from echoes_training import checkpoint
from echoes_training.config import TransformerStageConfig, VocoderStageConfig, from_dict, to_dict
from echoes_training.models.codec import Codec
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.models.vocoder import make_vocoder
from echoes_training.stages import codebooks
from echoes_training.stages.codecs import codec_of_run
from echoes_training.stages.confidence import load_confidence

_Loaded = tuple[nn.Module, Any, Any]
"""A module, its shape, and what it was made for."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The folders of up to four training runs."""

    image_codec: Path | None = None
    mel_codec: Path | None = None
    vocoder: Path | None = None
    transformer: Path | None = None

    @property
    def missing(self) -> list[str]:
        return [field.name for field in fields(self) if getattr(self, field.name) is None]

    def place(self, name: str) -> str:
        """Where a model comes from, for messages."""
        run = getattr(self, name)
        return "the base bundle" if run is None else str(run)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What is known of the models so far, by their names; ``specs`` are what they were made for."""

    modules: dict[str, Any]
    configs: dict[str, dict[str, Any]]
    specs: dict[str, Any]


def load_models(runs: Runs, base: Models | None = None, confidence: Path | None = None) -> Models:
    """Loads the newest checkpoint of each run.

    Args:
        runs: all four, or fewer if there is a ``base``.
        base: whose models are taken where there is no run.
        confidence: what echoes-train confidence wrote. Without it the base's goes on only with the
            base's picture codec and transformer: another one knows other pictures.

    Raises:
        InputError: if a run has no checkpoint, is of another stage, or does not fit the others.
    """
    for name, run in vars(runs).items():
        if run is not None:
            _check_stage(run, name)
    parts = _Parts(modules={}, configs={}, specs={}) if base is None else _parts_of(base)
    if runs.image_codec is not None or runs.transformer is not None:
        parts.modules.pop("confidence", None)
        parts.configs.pop("confidence", None)
    read_by_transformer = _codebooks(runs, base)
    _read(parts, "image_codec", runs.image_codec, partial(_load_codec, medium="image"))
    _read(parts, "mel_codec", runs.mel_codec, partial(_load_codec, medium="mel"))
    _read(parts, "vocoder", runs.vocoder, _load_vocoder)
    _read(parts, "transformer", runs.transformer, _load_transformer)
    image, mel = parts.specs["image_codec"], parts.specs["mel_codec"]
    layout = parts.specs["transformer"]
    image_place, mel_place = runs.place("image_codec"), runs.place("mel_codec")
    image_codec, mel_codec = parts.modules["image_codec"], parts.modules["mel_codec"]
    _check_grid(image_place, layout.image, image_codec, (image.height, image.width))
    _check_grid(mel_place, layout.audio, mel_codec, (mel.n_mels, mel.n_frames))
    _check_codes(runs, codebooks.of_codecs(image_codec, mel_codec), read_by_transformer)
    vocoder_mel = parts.specs["vocoder"]
    if replace(vocoder_mel, n_frames=mel.n_frames) != mel:
        raise InputError(
            f"{runs.place('vocoder')} and {mel_place} were trained on different mels "
            f"({vocoder_mel} and {mel}); train one of them again"
        )
    models = Models(**parts.modules, image=image, mel=mel, layout=layout, configs=parts.configs)
    return models if confidence is None else _with_confidence(models, confidence, image_place)


def _with_confidence(models: Models, file: Path, image_place: str) -> Models:
    head, codebook = load_confidence(file)
    made = codebooks.of_codecs(models.image_codec, models.mel_codec)
    if codebooks.others(made, {"image": codebook}):
        raise InputError(
            f"{file} was fitted to the codes of another picture codec than that of {image_place}; "
            "run echoes-train confidence with that codec"
        )
    configs = models.configs | {"confidence": to_dict(head.config)}
    return replace(models, confidence=head, configs=configs)


def _codebooks(runs: Runs, base: Models | None) -> codebooks.Codebooks:
    """Those of the codecs that the transformer was trained with, where that is known."""
    if runs.transformer is not None:
        return codebooks.of_run(runs.transformer)
    return {} if base is None else codebooks.of_codecs(base.image_codec, base.mel_codec)


def _check_codes(
    runs: Runs, made: codebooks.Codebooks, read_by_transformer: codebooks.Codebooks
) -> None:
    places = {"image": runs.place("image_codec"), "audio": runs.place("mel_codec")}
    for medium in codebooks.others(made, read_by_transformer):
        raise InputError(
            f"the transformer of {runs.place('transformer')} was trained on the codes of another "
            f"codec than that of {places[medium]}; export it with that codec, or train the "
            "transformer on the codes of this one"
        )


def _parts_of(base: Models) -> _Parts:
    specs = {
        "image_codec": base.image,
        "mel_codec": base.mel,
        "vocoder": base.mel,
        "transformer": base.layout,
    }
    return _Parts(modules=base.modules, configs=dict(base.configs), specs=specs)


def _read(parts: _Parts, name: str, run: Path | None, load: Callable[[Path], _Loaded]) -> None:
    """Puts a run's model in the place of the base's, if there is a run.

    Damaged runs become one sentence; safetensors' own errors say nothing of the run.
    """
    from safetensors import SafetensorError

    if run is None:
        return
    try:
        module, config, spec = load(run)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the checkpoint of {run} cannot be loaded: {reason}") from error
    parts.modules[name] = module
    parts.configs[name] = to_dict(config)
    parts.specs[name] = spec


def _check_stage(run: Path, name: str) -> None:
    found = checkpoint.load_config(run).get("stage")
    if found != name:
        raise InputError(f"{run} is a run of {found}, expected one of {name}")


def _load_codec(run: Path, medium: str) -> _Loaded:
    codec = codec_of_run(run)
    return codec.model, codec.model.config, getattr(codec, medium)


def _load_vocoder(run: Path) -> _Loaded:
    config = from_dict(VocoderStageConfig, checkpoint.load_config(run)["config"])
    vocoder = _ready(run, "vocoder", make_vocoder(config.model, config.mel))
    return vocoder, config.model, config.mel


def _load_transformer(run: Path) -> _Loaded:
    config = from_dict(TransformerStageConfig, checkpoint.load_config(run)["config"])
    transformer = _ready(run, "transformer", MaskedTransformer(config.model, config.layout))
    return transformer, config.model, config.layout


def _ready(run: Path, name: str, module: nn.Module) -> nn.Module:
    checkpoint.load_module(run, name, module)
    return module.eval().requires_grad_(False)


def _check_grid(place: str, grid: Grid, codec: Codec, size: tuple[int, int]) -> None:
    made = codec.grid(*size)
    if made != grid:
        raise InputError(
            f"the codec of {place} makes {made.height} x {made.width} codes of "
            f"{made.codebook_size}, the transformer reads {grid.height} x {grid.width} of "
            f"{grid.codebook_size}; train the transformer on its codes"
        )
