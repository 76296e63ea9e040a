"""Which trained parts may go into one bundle."""

from pathlib import Path

import pytest
from safetensors.torch import save_file
from tests.training.runs import saved
from tests.training.test_published import small_melgan

from echoes_export.bundle.models import Models, random_models
from echoes_export.bundle.run_models import Runs, load_models
from echoes_export.bundle.weights_file import WEIGHTS_NAME, write_weights
from echoes_rt.errors import InputError
from echoes_training.models.melgan import MelGAN
from echoes_training.presets import PRESETS
from echoes_training.published import layouts
from echoes_training.published.command import import_checkpoint
from echoes_training.stages import codebooks


def codec_run(models: Models, folder: Path) -> Path:
    """A run of a mel codec, named as in older versions."""
    return saved(folder, "mel_codec", PRESETS["tiny"].mel_codec, codec=models.mel_codec)


def test_a_transformer_goes_with_the_codecs_whose_codes_it_was_trained_on(
    runs: dict[str, Path], models: Models, tmp_path: Path
) -> None:
    others = random_models(PRESETS["tiny"], seed=1)
    right = codec_run(models, tmp_path / "right")
    wrong = codec_run(others, tmp_path / "wrong")
    transformer = tmp_path / "transformer"
    transformer.mkdir()
    for file in runs["transformer"].iterdir():
        (transformer / file.name).symlink_to(file)
    codebooks.keep(transformer, codebooks.of_codecs(models.image_codec, models.mel_codec))
    trained = {**runs, "transformer": transformer}
    load_models(Runs(**{**trained, "mel_codec": right}))
    with pytest.raises(InputError) as caught:
        load_models(Runs(**{**trained, "mel_codec": wrong}))
    assert str(caught.value) == (
        f"the transformer of {transformer} was trained on the codes of another codec than that of "
        f"{wrong}; export it with that codec, or train the transformer on the codes of this one"
    )
    # Runs of older versions kept no codebooks.
    load_models(Runs(**{**runs, "mel_codec": wrong}))


def test_the_transformer_of_a_base_keeps_its_codecs(
    runs: dict[str, Path], models: Models, tmp_path: Path
) -> None:
    others = random_models(PRESETS["tiny"], seed=1)
    wrong = codec_run(others, tmp_path / "wrong")
    load_models(Runs(mel_codec=runs["mel_codec"]), models)
    with pytest.raises(InputError, match="the transformer of the base bundle was trained on"):
        load_models(Runs(mel_codec=wrong), models)


def test_an_imported_vocoder_joins_trained_models(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, tensors = small_melgan()
    monkeypatch.setitem(layouts.LAYOUTS, "melgan", layout)
    save_file(tensors, tmp_path / "melgan.safetensors")
    import_checkpoint("melgan", tmp_path / "melgan.safetensors", tmp_path / "run")
    models = load_models(Runs(**{**runs, "vocoder": tmp_path / "run"}))
    assert isinstance(models.vocoder, MelGAN)
    assert models.configs["vocoder"]["ratios"] == (8, 4, 2)
    assert "vocoder.conv_in.weight" in write_weights(tmp_path / WEIGHTS_NAME, models, "fp16")
