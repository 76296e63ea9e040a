from pathlib import Path

import pytest
import torch

from echoes_rt.errors import InputError
from echoes_training.bundles import open_source
from echoes_training.config import (
    TransformerStageConfig,
    VQGANStageConfig,
    from_dict,
    override,
    to_dict,
)
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


def test_configs_survive_json() -> None:
    preset = PRESETS["base"]
    assert from_dict(VQGANStageConfig, to_dict(preset.mel_codec)) == preset.mel_codec
    assert from_dict(TransformerStageConfig, to_dict(preset.transformer)) == preset.transformer


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
    ("assignment", "message"),
    [
        ("loop.steps", "--set needs key=value, got 'loop.steps'"),
        ("loop.stepz=1", "--set: no 'loop.stepz'; 'stepz' must be one of steps"),
        ("loop.steps=x y", "--set loop.steps: cannot read 'x y' as a value"),
        ("loop.steps=1.5", "--set loop.steps: needs a value like 4 (int), got '1.5'"),
        ("loop.steps=0", "--set loop.steps: steps and batch_size must be positive, got 0, 2"),
        ("loss_weights.x=1", "--set: no 'loss_weights.x'; 'x' must be one of reconstruction"),
        ("loop.precision=fp8", "precision must be auto, bf16 or fp32, got 'fp8'"),
        ("loop.log_every=0", "log_every and evaluate_every must be positive, got 0, 2"),
        ("loop.evaluate_every=0", "log_every and evaluate_every must be positive, got 25, 0"),
        ("loop.steps.x=1", "--set: no 'loop.steps.x'; there is nothing below the value 4"),
        ("loop={}", "--set loop: set its parts, e.g. loop.steps"),
    ],
)
def test_a_bad_setting_is_one_clear_line(assignment: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        override(PRESETS["tiny"].image_codec, (assignment,))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (("full_mask=0.6",), "whose sum is at most 1, got 0.6, 0.45"),
        (("full_mask=-0.1",), "whose sum is at most 1, got -0.1, 0.45"),
        (("unpaired=1.5",), "unpaired must be in [0, 1], got 1.5"),
    ],
)
def test_probabilities_of_masks_are_probabilities(
    assignments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        override(PRESETS["tiny"].transformer, assignments)
    assert message in str(caught.value)


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


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_leaves_something(dropout: float) -> None:
    with pytest.raises(InputError, match=r"dropout must be in \[0, 1\), got "):
        override(PRESETS["tiny"].transformer, (f"model.dropout={dropout}",))
