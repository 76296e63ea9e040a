from pathlib import Path

import pytest
import torch

from echoes_rt.errors import InputError
from echoes_training.bundles import open_source
from echoes_training.config import override
from echoes_training.device import pick_device
from echoes_training.presets import PRESETS
from echoes_training.stages.codecs import make_codec
from echoes_training.stages.settings import finetuning

RECIPE = Path(__file__).parents[2] / "docs" / "train.md"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_agrees_with_itself(name: str) -> None:
    preset = PRESETS[name]
    grids = (preset.layout.image, preset.layout.audio)
    sizes = (preset.image.height, preset.image.width), (preset.mel.n_mels, preset.mel.n_frames)
    stages = (preset.image_codec, preset.mel_codec)
    for stage, size, grid in zip(stages, sizes, grids, strict=True):
        with torch.device("meta"):
            codec = make_codec(stage.model)
        assert codec.grid(*size) == grid


def test_override_reaches_nested_fields_and_losses() -> None:
    config = override(
        PRESETS["tiny"].image_codec,
        ("loop.steps=7", "loss_weights.vq/commitment=2", "model.channels=(4, 4)"),
    )
    assert config.loop.steps == 7
    assert config.loss_weights["vq/commitment"] == 2.0
    assert config.model.channels == (4, 4)
    assert PRESETS["tiny"].image_codec.loop.steps != 7


@pytest.mark.parametrize(
    ("stage", "assignment", "message"),
    [
        ("image_codec", "loop.steps", "--set needs key=value, got 'loop.steps'"),
        ("image_codec", "loop.stepz=1", "--set: no 'loop.stepz'; 'stepz' must be one of steps"),
        ("image_codec", "loop.steps=x y", "--set loop.steps: cannot read 'x y' as a value"),
        ("image_codec", "loop.steps=1.5", "loop.steps: needs a value like 4 (int), got '1.5'"),
        ("image_codec", "loop.steps=0", "steps and batch_size must be positive, got 0, 2"),
        ("image_codec", "loss_weights.x=1", "--set: no 'loss_weights.x'; 'x' must be one of "),
        ("image_codec", "loop.precision=fp8", "must be auto, bf16 or fp32, got 'fp8'"),
        ("image_codec", "loop.log_every=0", "evaluate_every must be positive, got 0, 2"),
        ("image_codec", "loop.evaluate_every=0", "evaluate_every must be positive, got 25, 0"),
        ("image_codec", "loop.steps.x=1", "there is nothing below the value 4"),
        ("image_codec", "loop={}", "--set loop: set its parts, e.g. loop.steps"),
        ("transformer", "full_mask=0.6", "whose sum is at most 1, got 0.6, 0.45"),
        ("transformer", "full_mask=-0.1", "whose sum is at most 1, got -0.1, 0.45"),
        ("transformer", "unpaired=1.5", "unpaired must be in [0, 1], got 1.5"),
        ("transformer", "model.dropout=-0.1", "dropout must be in [0, 1), got "),
        ("transformer", "model.dropout=1.0", "dropout must be in [0, 1), got "),
    ],
)
def test_a_bad_setting_is_one_clear_line(stage: str, assignment: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        override(getattr(PRESETS["tiny"], stage), (assignment,))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_need_no_order() -> None:
    config = override(PRESETS["tiny"].transformer, ("full_mask=0.8", "no_mask=0.1"))
    assert (config.full_mask, config.no_mask) == (0.8, 0.1)


@pytest.mark.parametrize("name", ["cuad", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(InputError, match=f"must be auto, cpu or cuda and be there, got '{name}'"):
        pick_device(name)


def test_the_recipe_of_fine_tuning_names_its_own_numbers(tiny_bundle: Path) -> None:
    loop = finetuning(PRESETS["mini"].transformer, open_source(str(tiny_bundle))).loop
    text = " ".join(RECIPE.read_text("utf-8").split())
    assert f"(of `mini`: {loop.steps} steps at {loop.learning_rate:g})" in text
