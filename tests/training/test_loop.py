"""What every stage's loop keeps from one start of a run to the next."""

import json
import math
from pathlib import Path

import pytest
import torch

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig
from echoes_training.metrics import MetricsLog
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages.loop import Measures, train


def test_a_checkpoint_of_other_shapes_is_one_sentence(tmp_path: Path) -> None:
    folder = checkpoint.save(
        tmp_path, 2, TrainState(modules={"it": torch.nn.Linear(1, 1)}, optimizers={})
    )
    with pytest.raises(InputError) as caught:
        checkpoint.load(folder, TrainState(modules={"it": torch.nn.Linear(2, 1)}, optimizers={}))
    assert str(caught.value).startswith(f"the it of {folder} does not fit (size mismatch for wei")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:google")
def test_a_step_is_logged_once_however_often_it_is_made(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": 10.0 + step})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "lo')  # as a kill may leave it
    with MetricsLog(tmp_path, 1) as log:
        log.write(2, {"loss": 22.0})
    rows = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 11.0), (2, 22.0)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:google")
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
