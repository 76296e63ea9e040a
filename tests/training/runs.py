"""What many tests of training do: describe a clip, run a command, read what it left."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner, Result

from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.cli import main
from echoes_training.config import to_dict
from echoes_training.data.index import Clip
from echoes_training.stages.codecs import CODEC, make_codec


def clip(**facts: Any) -> Clip:
    """Of the training split, in the category of its label, unless ``facts`` say otherwise."""
    default = {"category": facts.get("label"), "split": "train"}
    return Clip(**{**default, "licence": "CC0 1.0", "source": "pairs", **facts})


def invoke(*arguments: object) -> Result:
    """``echoes-train`` with these arguments, on one thread, as runs are compared."""
    torch.set_num_threads(1)
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def train(*arguments: object) -> Result:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def forked(jobs: list[dict[str, Any]], folder: Path) -> list[list[int]]:
    """The exit statuses of the processes of each job, as forked.py takes them."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs), "utf-8")
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("forked.py")), str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    sys.stderr.write(result.stderr)
    return list(json.loads(result.stdout))


def untrained_codec(run: Path, stage: Any) -> Path:
    """A run of a picture codec whose codes differ for different pictures."""
    torch.manual_seed(0)
    codec = make_codec(stage.model).eval()
    codec.spread_codes(torch.rand(8, 3, 32, 32) * 2 - 1)
    checkpoint.save_config(run, {"stage": "image_codec", "config": to_dict(stage)})
    checkpoint.save(run, 1, TrainState(modules={CODEC: codec}, optimizers={}))
    return run
