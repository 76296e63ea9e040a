"""With which settings a run begins, and with which it goes on."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.bundles import open_source
from echoes_training.checkpoint import TrainState
from echoes_training.config import to_dict
from echoes_training.presets import PRESETS
from echoes_training.stages.settings import Asked, configure, save_settings, start_of


def asked(run: Path, *assignments: str, **facts: Any) -> Asked:
    """To go on with a mel codec, if there is a run, unless ``facts`` say otherwise."""
    default = {"command": "mel-codec", "preset": None, "start_from": None, "resume": "auto"}
    return Asked(run=run, assignments=assignments, **{**default, **facts})


def trained(run: Path) -> None:
    checkpoint.save(run, 2, TrainState(modules={"it": nn.Linear(1, 1)}, optimizers={}))


def begun(run: Path, *assignments: str, command: str = "mel-codec") -> Any:
    """The settings of a run of the tiny preset with a checkpoint."""
    request = asked(run, *assignments, command=command, preset="tiny")
    config = configure(request)
    facts = {"config": to_dict(config), "labels": {"high": ["high"], "low": []}}
    if command == "distill":
        student = to_dict(PRESETS["tiny"].transformer)
        facts |= {"stage": "transformer", "config": student, "distill": to_dict(config)}
    save_settings(request, config.loop, facts)
    trained(run)
    return config


@pytest.mark.parametrize("command", ["mel-codec", "distill"])
def test_a_run_goes_on_with_the_settings_that_it_began_with(command: str, tmp_path: Path) -> None:
    began = begun(tmp_path, "loop.batch_size=6", "loop.precision=bf16", command=command)
    before = (tmp_path / "config.json").read_text("utf-8")
    request = asked(tmp_path, command=command)
    config = configure(request)
    assert config == began
    key = "distill" if command == "distill" else "config"
    save_settings(request, config.loop, {key: to_dict(config)})
    assert (tmp_path / "config.json").read_text("utf-8") == before


def test_what_belongs_to_neither_weights_nor_data_may_be_set_anew(tmp_path: Path) -> None:
    began = begun(tmp_path, "loop.precision=bf16")
    request = asked(tmp_path, "loop.steps=9", "loop.learning_rate=0.5", "loop.precision=fp32")
    config = configure(request)
    changed = {"steps": 9, "learning_rate": 0.5, "precision": "fp32"}
    assert config == dataclasses.replace(began, loop=dataclasses.replace(began.loop, **changed))
    save_settings(request, config.loop, {"config": to_dict(config), "labels": {"other": []}})
    saved = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert saved["config"]["loop"]["steps"] == 9
    assert saved["labels"] == {"high": ["high"], "low": []}


@pytest.mark.parametrize(
    ("began", "assignments", "options", "sentence"),
    [
        ("mel-codec", ["model.stem=4"], {}, "began with model.stem=8 and cannot go on with 4; "),
        ("mel-codec", ["loop.seed=1"], {}, "began with loop.seed=0 and cannot go on with 1; "),
        ("mel-codec", [], {"preset": "base"}, "began with --preset tiny and cannot go on with "),
        ("mel-codec", [], {"command": "image-codec"}, "is a run of mel-codec, not of image-codec;"),
        ("distill", [], {"command": "transformer"}, "is a run of distill, not of transformer;"),
    ],
)
def test_a_run_never_goes_on_as_another_one(
    began: str, assignments: list[str], options: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    begun(tmp_path, command=began)
    with pytest.raises(InputError) as caught:
        configure(asked(tmp_path, *assignments, **options))
    assert f"{tmp_path} {sentence}" in str(caught.value)


def test_a_run_with_settings_that_are_no_more_does_not_go_on(tmp_path: Path) -> None:
    config = to_dict(PRESETS["tiny"].mel_codec) | {"category_steps": 1}
    checkpoint.save_config(tmp_path, {"stage": "mel_codec", "config": config})
    trained(tmp_path)
    with pytest.raises(InputError, match=r"no setting category_steps.*pass another --out"):
        configure(asked(tmp_path))


def test_a_fine_tuning_goes_on_as_one_also_before_its_first_checkpoint(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    source = str(tiny_bundle)
    facts = {"command": "transformer", "preset": "tiny", "start_from": source}
    first = asked(tmp_path, "loop.batch_size=6", **facts)
    assert start_of(first) == source
    config = configure(first, open_source(source))
    assert config.loop.learning_rate < PRESETS["tiny"].transformer.loop.learning_rate
    save_settings(first, config.loop, {"config": to_dict(config), "start_from": source})
    again = asked(tmp_path, command="transformer")
    assert start_of(again) == source
    assert configure(again, open_source(source)) == config
    saved = (tmp_path / "config.json").read_text("utf-8")
    save_settings(again, config.loop, {"config": to_dict(config), "start_from": None})
    assert (tmp_path / "config.json").read_text("utf-8") == saved
    trained(tmp_path)
    assert start_of(again) is None
    assert configure(again) == config
    with pytest.raises(InputError, match=r"began with --start-from .* and cannot go on with other"):
        configure(asked(tmp_path, command="transformer", start_from="other"))
    other = asked(tmp_path / "new", command="transformer", resume=None)
    assert start_of(other) is None


def test_settings_of_a_run_that_never_trained_may_be_replaced(tmp_path: Path) -> None:
    first = asked(tmp_path, preset="tiny")
    config = configure(first)
    save_settings(first, config.loop, {"config": to_dict(config)})
    new = asked(tmp_path, "loop.batch_size=6", preset="tiny", resume=None)
    changed = configure(new)
    assert changed.loop.batch_size == 6
    save_settings(new, changed.loop, {"config": to_dict(changed)})
    saved = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert saved["config"]["loop"]["batch_size"] == 6


def test_only_a_run_that_is_there_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no run at .*--resume=auto"):
        configure(asked(tmp_path / "run", preset="tiny", resume="run"))
    begun(tmp_path / "run")
    configure(asked(tmp_path / "run", resume="run"))
