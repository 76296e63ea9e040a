"""Two processes, or a batch in parts, end where one process with the whole batch does."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.runs import forked, metrics, train
from torch import Tensor

from echoes_training import checkpoint

CODECS = {"image-vqgan": "image-codec", "mel-vqgan": "mel-codec"}
STAGES = (*CODECS, "mel-codec", "vocoder", "transformer", "distill")
SETTINGS = {
    # Two steps: the gradient of a log of next to nothing soon makes much of a rounding error.
    "vocoder": ("adversarial_start=0", "loop.steps=2"),
    "mel-codec": ("adversarial_start=0", "loop.steps=2"),
    "distill": ("partly_known=0.5", "unpaired=0.5"),
    "transformer": ("group_steps=2", "model.dropout=0.1", "model.audio_group=2"),
}


@dataclass(frozen=True, kw_only=True)
class World:
    folder: Path
    index: Path
    tokens: Path

    def command(self, stage: str, run: str, *settings: str, resume: bool = False) -> list[str]:
        """A training of four steps of four samples, all logged, into ``folder/run``."""
        source = ["--index", str(self.index)]
        if stage in ("transformer", "distill"):
            source = ["--tokens", str(self.tokens)]
        if stage == "distill":
            source += ["--teacher", str(self.folder / "one-transformer")]
        always = ("loop.batch_size=4", "loop.log_every=1", "loop.ema_decay=0.5")
        always += ("loop.precision=fp32",)  # bf16 rounds by more than these runs may differ
        sets = [part for s in (*always, *settings) for part in ("--set", s)]
        preset = "edge-tiny" if stage == "mel-codec" else "tiny"
        out = ["--preset", preset, "--out", str(self.folder / run)]
        return [CODECS.get(stage, stage), *source, *out, *sets, *(["--resume"] if resume else [])]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def world(
    media_index: Path, random_tokens: Path, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """Every stage by one process (``one-STAGE``) and by two (``two-STAGE``)."""
    world = World(folder=tmp_path_factory.mktemp("many"), index=media_index, tokens=random_tokens)
    for stage in STAGES:
        train(*world.command(stage, f"one-{stage}", *SETTINGS.get(stage, ())))
    plain = SETTINGS["transformer"]
    sharded, parts = (*plain, "sharded=True"), (*plain, "loop.accumulate=2")

    def transformer(run: str, *settings: str, resume: bool = False) -> list[str]:
        return world.command("transformer", run, *settings, resume=resume)

    each_step = "loop.checkpoint_minutes=0"
    commands = [world.command(s, f"two-{s}", *SETTINGS.get(s, ())) for s in STAGES]
    commands += [
        transformer("sharded", *sharded),
        transformer("two-parts", *parts),
        transformer("sharded-parts", *sharded, "loop.accumulate=2"),
        transformer("more", *sharded, resume=True),
    ]
    killed = {"death": "after two steps"}
    two = {"processes": 2}
    jobs = [
        {**killed, "commands": [transformer("more", *plain, each_step)]},
        {**killed, **two, "commands": [transformer("fewer", *sharded, each_step)]},
        {**two, "commands": commands},
        {"commands": [transformer("fewer", *plain, resume=True)]},
    ]
    statuses = forked([{"port": free_port(), **job} for job in jobs], world.folder)
    assert statuses == [[-9], [-9, -9], [0, 0], [0]]
    return world


def losses(run: Path) -> list[dict[str, float]]:
    """The logged scalars of each step and evaluation, without those that jump at a tie."""
    jumps = ("elapsed_s", "validation/code")
    return [{k: v for k, v in row.items() if not k.startswith(jumps)} for row in metrics(run)]


def weights(run: Path, name: str) -> dict[str, Tensor]:
    """Without what sits before a norm, and without the biases of keys, to which softmax is blind.

    Such a gradient is rounding alone, and Adam enlarges it.
    """
    tensors = load_file(run / f"{name}.safetensors")
    hidden = (".bias", "running_mean") if name.startswith("codec") else ()
    hidden += ("attention.qkv.bias",)
    return {key: value for key, value in tensors.items() if not key.endswith(hidden)}


def assert_alike(one: Path, other: Path) -> None:
    """The same losses at every step, and the same weights, both to rounding."""
    expected, found = losses(one), losses(other)
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for a, b in zip(expected, found, strict=True):
        assert b == pytest.approx(a, rel=1e-3, abs=2e-5)
    last, others_last = checkpoint.newest(one), checkpoint.newest(other)
    assert last is not None
    assert others_last is not None
    assert last.name == others_last.name
    names = {file.stem for file in last.iterdir()}
    assert names == {file.stem for file in others_last.iterdir()}
    assert any(name.endswith("_ema") for name in names)
    for name in (n for n in names if not n.endswith("_optimizer")):
        a, b = weights(last, name), weights(others_last, name)
        assert a.keys() == b.keys()
        for key in a:
            torch.testing.assert_close(b[key], a[key], rtol=1e-3, atol=1e-4, msg=f"{name} {key}")


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_equal_one(stage: str, world: World) -> None:
    assert_alike(world.folder / f"one-{stage}", world.folder / f"two-{stage}")


@pytest.mark.parametrize("run", ["sharded", "sharded-parts"])
def test_processes_that_share_the_weights_equal_one(run: str, world: World) -> None:
    assert_alike(world.folder / "one-transformer", world.folder / run)


@pytest.mark.parametrize("run", ["more", "fewer"])
def test_a_run_goes_on_with_another_number_of_processes(run: str, world: World) -> None:
    """After two steps by one process, two went on, each with half of the weights; or reversed."""
    assert_alike(world.folder / "one-transformer", world.folder / run)


def test_parts_equal_the_whole_batch(world: World) -> None:
    train(*world.command("transformer", "parts", *SETTINGS["transformer"], "loop.accumulate=2"))
    assert_alike(world.folder / "one-transformer", world.folder / "parts")
    assert_alike(world.folder / "one-transformer", world.folder / "two-parts")


@pytest.mark.slow
def test_torchrun_starts_what_equals_one_process(world: World) -> None:
    command = world.command("transformer", "torchrun", *SETTINGS["transformer"], "loop.device=cpu")
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    launcher += ["--master-port", str(free_port())]
    result = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "echoes_training.cli", *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert_alike(world.folder / "one-transformer", world.folder / "torchrun")


def test_only_one_process_writes(world: World) -> None:
    for stage in STAGES:
        one, two = (sorted_names(world.folder / f"{n}-{stage}") for n in ("one", "two"))
        assert one == two
        assert sum("tfevents" in name for name in two) == 1


def sorted_names(run: Path) -> list[str]:
    """Without the number of the process and the time in the name of TensorBoard's file."""
    files = [p for p in run.rglob("*") if p.is_file()]
    return sorted(p.name.split(".")[0] + "tfevents" * ("tfevents" in p.name) for p in files)
