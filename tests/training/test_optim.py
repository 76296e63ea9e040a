"""How large a step is: its rate over the run, its gradient's norm, its precision."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training import runs
from torch import nn

from echoes_rt.errors import InputError
from echoes_training import checkpoint, device
from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig
from echoes_training.optim import Learner, learning_rate, make_optimizer
from echoes_training.processes import Processes
from echoes_training.stages.loop import Measures, train


def test_the_rate_rises_in_a_line_and_falls_as_half_a_cosine() -> None:
    loop = LoopConfig(steps=110, batch_size=1, learning_rate=2.0, warmup_steps=10)
    expected = {
        0: 0.2,
        4: 1.0,
        9: 2.0,
        10: 2.0,
        35: 1 + math.sqrt(0.5),  # an eighth of a turn
        60: 1.0,
        85: 1 - math.sqrt(0.5),
        110: 0.0,
    }
    assert {step: learning_rate(loop, step) for step in expected} == pytest.approx(expected)
    rates = [learning_rate(loop, step) for step in range(10, 111)]
    assert rates == sorted(rates, reverse=True)


def test_the_rate_of_a_step_reaches_the_optimizer() -> None:
    loop = LoopConfig(steps=8, batch_size=1, learning_rate=0.5, warmup_steps=2)
    layer = nn.Linear(1, 1)
    learner = Learner(layer, loop, Processes("cpu"))
    for step in range(3):
        learner.update(step, [torch.ones(1)], lambda x: learner(x).sum())
        rates = {group["lr"] for group in learner.optimizer.param_groups}
        assert rates == {learning_rate(loop, step)}


@pytest.mark.parametrize(("scale", "clipped"), [(1e6, True), (1e-3, False)])
def test_only_a_gradient_over_the_limit_is_cut_to_it(scale: float, clipped: bool) -> None:
    loop = LoopConfig(steps=1, batch_size=1, learning_rate=1e-3, grad_clip=0.7)
    layer = nn.Linear(3, 2)
    learner = Learner(layer, loop, Processes("cpu"))
    x = torch.tensor([[1.0, -2.0, 3.0]])
    # Of each output the gradient is x for the weights and 1 for the bias, in two parts.
    norm = learner.update(0, [x, x], lambda x: scale * learner(x).sum())
    whole = scale * math.sqrt(2 * (1 + 4 + 9 + 1))
    assert norm.item() == pytest.approx(whole, rel=1e-5)
    left = torch.cat([p.grad.flatten() for p in layer.parameters() if p.grad is not None])
    assert left.norm().item() == pytest.approx(0.7 if clipped else whole, rel=1e-4)
    direction = torch.cat([x.expand(2, 3).flatten(), torch.ones(2)])
    torch.testing.assert_close(left / left.norm(), direction / direction.norm())


def test_steps_in_bf16_are_those_in_fp32_to_its_rounding(
    random_tokens: Path, tmp_path: Path
) -> None:
    losses, weights = {}, {}
    for precision in ("fp32", "bf16"):
        run = tmp_path / precision
        settings = (f"loop.precision={precision}", "loop.log_every=1", "loop.batch_size=8")
        sets = [part for setting in settings for part in ("--set", setting)]
        source = ("--tokens", random_tokens, "--preset", "tiny")
        runs.train("transformer", *source, "--out", run, *sets)
        losses[precision] = [row["train/loss"] for row in runs.metrics(run) if "train/loss" in row]
        newest = checkpoint.newest(run)
        assert newest is not None
        weights[precision] = load_file(newest / "transformer.safetensors")
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=2e-2)
    assert {tensor.dtype for tensor in weights["bf16"].values()} == {torch.float32}


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, "fp32"), (0.0005, "bf16")])
def test_one_slow_moment_does_not_choose_the_precision(
    seconds: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {torch.float32: [9.0, 0.001, 0.001], torch.bfloat16: [seconds, 9.0, seconds]}
    monkeypatch.setattr(device, "_product_seconds", lambda dtype: measured[dtype].pop(0))
    assert device.pick_precision("auto", torch.device("cpu")) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("log_every", [1, 3, 50])
def test_a_training_that_diverges_stops_before_it_is_kept(
    bad: float, log_every: int, tmp_path: Path
) -> None:
    loop = LoopConfig(steps=9, batch_size=1, learning_rate=0.5, log_every=log_every)
    processes = Processes("cpu")
    layer = torch.nn.Linear(1, 1)
    learner = Learner(layer, loop, processes)
    state = TrainState(modules={"it": layer}, optimizers={"it": learner.optimizer})
    checkpoint.save(tmp_path, 2, state)
    before = layer.weight.clone()

    def step_once(step: int) -> Measures:
        scale = bad if step == 3 else 1.0
        norm = learner.update(step, [torch.ones(1)], lambda x: scale * learner(x).square().sum())
        return {"train/grad_norm": norm}

    with pytest.raises(InputError, match=r"diverged.* 0\.5"):
        train(tmp_path, loop, state, processes, step_once, lambda step: {})
    assert checkpoint.newest(tmp_path) == tmp_path / "step-0000002"
    checkpoint.load(tmp_path / "step-0000002", state)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_adamw_is_one_launch_on_a_gpu_and_the_plain_one_elsewhere(
    monkeypatch: pytest.MonkeyPatch, on_gpu: bool
) -> None:
    monkeypatch.setattr(nn.Parameter, "is_cuda", on_gpu)
    made = make_optimizer(nn.Linear(2, 2), LoopConfig(steps=1, batch_size=1, learning_rate=1.0))
    assert bool(made.defaults["fused"]) is on_gpu
