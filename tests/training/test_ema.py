"""The moving average of weights: its formula, and who uses it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig
from echoes_training.ema import averages


def test_the_average_follows_its_formula() -> None:
    decay = 0.5
    module = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(module.weight, 1.0)
    average = averages({"it": module}, decay)["it"]
    expected = 1.0
    for step, weight in enumerate([3.0, -2.0, 0.5, 8.0, 8.0, 7.0, 1.0, -4.0, 2.5, 0.25]):
        nn.init.constant_(module.weight, weight)
        average.update(step)
        share = min(decay, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * weight
    assert share == decay  # both branches of the minimum were taken
    assert average.tensors["weight"].item() == pytest.approx(expected, abs=1e-12)


def test_what_does_not_change_keeps_its_bits() -> None:
    module = nn.Linear(64, 64)
    before = module.weight.detach().clone()
    average = averages({"it": module}, 0.999)["it"]
    for step in range(50):
        average.update(step)
    assert torch.equal(average.tensors["weight"], before)


def test_evaluation_sees_the_average_and_training_does_not() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = averages({"it": module}, 0.9)["it"]
    trained = module.weight.detach().clone()
    average.tensors["weight"] = trained + 1
    with average.in_place():
        assert module.weight.item() == trained.item() + 1
    assert torch.equal(module.weight, trained)


def test_a_run_is_used_by_its_average(tmp_path: Path) -> None:
    module = nn.BatchNorm1d(2)
    state = TrainState(
        modules={"it": module}, optimizers={}, averages=averages({"it": module}, 0.9)
    )
    nn.init.constant_(module.weight, 5.0)
    module.running_mean.fill_(3.0)
    checkpoint.save(tmp_path, 1, state)
    for load in (checkpoint.load_module, checkpoint.load_start):
        found = nn.BatchNorm1d(2)
        load(tmp_path, "it", found)
        assert found.weight.tolist() == [1.0, 1.0]
        assert found.running_mean.tolist() == [3.0, 3.0]  # buffers are not averaged


def test_a_run_without_an_average_may_go_on_with_one(tmp_path: Path) -> None:
    module = nn.Linear(1, 1, bias=False)
    checkpoint.save(tmp_path, 1, TrainState(modules={"it": module}, optimizers={}))
    later = nn.Linear(1, 1, bias=False)
    state = TrainState(modules={"it": later}, optimizers={}, averages=averages({"it": later}, 0.9))
    assert checkpoint.load(tmp_path / "step-0000001", state) == 1
    assert torch.equal(state.averages["it"].tensors["weight"], module.weight)


def test_no_decay_is_no_average() -> None:
    assert averages({"it": nn.Linear(1, 1)}, 0.0) == {}
    with pytest.raises(ValueError, match=r"ema_decay must be in \[0, 1\), got 1"):
        LoopConfig(steps=1, batch_size=1, learning_rate=1.0, ema_decay=1)


def test_a_copy_of_a_checkpoint_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "step-0000001-good"
    mine.mkdir()
    state = TrainState(modules={"it": nn.Linear(1, 1)}, optimizers={})
    for step in (1, 2):
        checkpoint.save(tmp_path, step, state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-0000001-good", "step-0000002"]
    assert checkpoint.newest(tmp_path) == tmp_path / "step-0000002"
    with pytest.raises(InputError, match="has no checkpoint"):
        checkpoint.load_module(mine, "it", nn.Linear(1, 1))
