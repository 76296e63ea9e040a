"""A training that is killed (SIGKILL) and resumed ends with the weights of one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from echoes_training import checkpoint
from echoes_training.cli import main

# TensorBoard asks protobuf for things that newer releases call deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:google")

FORKED = Path(__file__).parent / "forked.py"
DEATHS = {
    "image-vqgan": "within a step",
    "mel-vqgan": "while writing",
    "refine-mel": "within a step",
    "vocoder": "within a step",
    "transformer": "while writing",
}


def train(*arguments: str) -> None:
    torch.set_num_threads(1)
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def folder(
    media_index: Path, random_tokens: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Runs ``whole-STAGE``, and ``killed-STAGE`` as the kill left them; commands.json."""
    folder = tmp_path_factory.mktemp("interrupted")
    index = ["--index", str(media_index)]
    sources = {
        "image-vqgan": index,
        "mel-vqgan": index,
        "refine-mel": [*index, "--codec", str(folder / "whole-mel-vqgan")],
        "vocoder": index,
        "transformer": ["--tokens", str(random_tokens)],
    }
    each_step = ["--preset", "tiny", "--set", "loop.checkpoint_minutes=0"]
    averaged = ["--set", "loop.ema_decay=0.9"]
    commands = {stage: [stage, *sources[stage], *each_step, *averaged] for stage in DEATHS}
    for stage, command in commands.items():
        train(*command, "--out", str(folder / f"whole-{stage}"))
    jobs = [
        {"commands": [[*command, "--out", str(folder / f"killed-{stage}")]], "death": DEATHS[stage]}
        for stage, command in commands.items()
    ]
    (folder / "commands.json").write_text(json.dumps(commands), "utf-8")
    (folder / "jobs.json").write_text(json.dumps(jobs), "utf-8")
    result = subprocess.run(
        [sys.executable, str(FORKED), str(folder / "jobs.json")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == [[-9]] * len(jobs), result.stderr
    return folder


@pytest.mark.parametrize("stage", DEATHS)
def test_a_killed_run_goes_on_as_if_nothing_had_been(stage: str, folder: Path) -> None:
    whole, killed = folder / f"whole-{stage}", folder / f"killed-{stage}"
    left = checkpoint.newest(killed)
    assert left is not None
    assert left.name in ("step-0000001", "step-0000002", "step-0000003")
    was_writing = DEATHS[stage] == "while writing"
    assert (killed / "step-0000003.partial").is_dir() == was_writing
    command = json.loads((folder / "commands.json").read_text("utf-8"))[stage]
    train(*command, "--out", str(killed), "--resume")
    last = whole / "step-0000004"
    assert sorted(p.name for p in killed.glob("step-*")) == [last.name]
    files = sorted(p.name for p in last.iterdir())
    assert files == sorted(p.name for p in (killed / last.name).iterdir())
    assert any(name.endswith("_ema.safetensors") for name in files)
    for name in files:
        expected, found = load_file(last / name), load_file(killed / last.name / name)
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert torch.equal(tensor, found[key]), f"{name}: {key}"
