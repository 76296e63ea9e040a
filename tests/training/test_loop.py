"""What every stage's loop keeps from one start of a run to the next."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig, to_dict
from echoes_training.metrics import MetricsLog
from echoes_training.presets import PRESETS
from echoes_training.stages.loop import resolve

LOOP = LoopConfig(steps=4, batch_size=2, learning_rate=1.0, device="cpu")


@pytest.mark.parametrize("refines", [False, True])
def test_a_run_that_goes_on_keeps_its_precision(refines: bool, tmp_path: Path) -> None:
    half = dataclasses.replace(LOOP, precision="bf16")
    config = to_dict(dataclasses.replace(PRESETS["tiny"].refine, loop=half))
    codec = to_dict(PRESETS["tiny"].mel_vqgan)
    saved = {"config": codec, "refine": config} if refines else {"config": config}
    checkpoint.save_config(tmp_path, {"stage": "any", **saved})
    checkpoint.save(tmp_path, 2, TrainState(modules={"it": torch.nn.Linear(1, 1)}, optimizers={}))
    assert resolve(LOOP, tmp_path)[0].precision == "bf16"
    asked = dataclasses.replace(LOOP, precision="fp32")
    assert resolve(asked, tmp_path)[0].precision == "fp32"


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
