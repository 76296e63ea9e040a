"""Models from the newest checkpoints of training runs, or where there is no run, of a bundle."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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

_Loaded = tuple[Any, Any, Any]
"""A module, its shape, and what it was made for."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The folders of up to four training runs."""

    image_codec: Path | None = None
    mel_codec: Path | None = None
    vocoder: Path | None = None
    transformer: Path | None = None

    def place(self, name: str) -> str:
        """Where a model comes from, for messages."""
        run = getattr(self, name)
        return "the base bundle" if run is None else str(run)


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
    given = {name: run for name, run in vars(runs).items() if run is not None}
    for name, run in given.items():
        _check_stage(run, name)
    read_by_transformer = _codebooks(runs, base)
    parts = {} if base is None else _parts_of(base)
    parts |= {name: _loaded(run, _LOADERS[name]) for name, run in given.items()}
    modules, shapes, specs = ({name: part[i] for name, part in parts.items()} for i in range(3))
    image, mel, layout = specs["image_codec"], specs["mel_codec"], specs["transformer"]
    image_place, mel_place = runs.place("image_codec"), runs.place("mel_codec")
    image_codec, mel_codec = modules["image_codec"], modules["mel_codec"]
    _check_grid(image_place, layout.image, image_codec, (image.height, image.width))
    _check_grid(mel_place, layout.audio, mel_codec, (mel.n_mels, mel.n_frames))
    _check_codes(runs, codebooks.of_codecs(image_codec, mel_codec), read_by_transformer)
    if replace(specs["vocoder"], n_frames=mel.n_frames) != mel:
        raise InputError(
            f"{runs.place('vocoder')} and {mel_place} were trained on different mels "
            f"({specs['vocoder']} and {mel}); train one of them again"
        )
    models = Models(**modules, image=image, mel=mel, layout=layout, configs=shapes)
    if confidence is not None:
        return _with_confidence(models, confidence, image_place)
    is_known = base is not None and not given.keys() & {"image_codec", "transformer"}
    if base is not None and base.confidence is not None and is_known:
        configs = models.configs | {"confidence": base.configs["confidence"]}
        return replace(models, confidence=base.confidence, configs=configs)
    return models


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


def _parts_of(base: Models) -> dict[str, _Loaded]:
    specs = {
        "image_codec": base.image,
        "mel_codec": base.mel,
        "vocoder": base.mel,
        "transformer": base.layout,
    }
    return {name: (base.modules[name], base.configs[name], spec) for name, spec in specs.items()}


def _loaded(run: Path, load: Callable[[Path], _Loaded]) -> _Loaded:
    """Damaged runs become one sentence; safetensors' own errors say nothing of the run."""
    from safetensors import SafetensorError

    try:
        module, config, spec = load(run)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the checkpoint of {run} cannot be loaded: {reason}") from error
    return module, to_dict(config), spec


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


_LOADERS: dict[str, Callable[[Path], _Loaded]] = {
    "image_codec": partial(_load_codec, medium="image"),
    "mel_codec": partial(_load_codec, medium="mel"),
    "vocoder": _load_vocoder,
    "transformer": _load_transformer,
}


def _check_grid(place: str, grid: Grid, codec: Codec, size: tuple[int, int]) -> None:
    made = codec.grid(*size)
    if made != grid:
        raise InputError(
            f"the codec of {place} makes {made.height} x {made.width} codes of "
            f"{made.codebook_size}, the transformer reads {grid.height} x {grid.width} of "
            f"{grid.codebook_size}; train the transformer on its codes"
        )
