"""Runs echoes-train in forked processes: ``python forked.py JOBS.json``.

A job is command lines that its processes run one after the other. They are told of each other as
torchrun would, or kill themselves (SIGKILL) midway. The imports, which take longer than all
else, are made once. Prints the exit status of each process of each job; -9 is a kill.
"""

import itertools
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import torch

from echoes_training import checkpoint
from echoes_training.cli import main
from echoes_training.stages import (  # noqa: F401
    distill,
    tokenize_shards,
    transformer,
    vocoder,
    vqgan,
)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_within_a_step() -> None:
    """In the fourth update: of two networks the second one's in the third step."""
    update = torch.optim.AdamW.step
    numbers = itertools.count(1)

    def step(self: torch.optim.AdamW, closure: None = None) -> None:
        if next(numbers) == 4:
            _die()
        update(self, closure)

    torch.optim.AdamW.step = step  # type: ignore[assignment, method-assign]


def _die_while_writing() -> None:
    """In the middle of the third step's checkpoint."""
    write = checkpoint.save_file

    def save_file(tensors: dict[str, torch.Tensor], path: Path) -> None:
        write(tensors, path)
        if "step-0000003" in str(path):
            _die()

    checkpoint.save_file = save_file  # type: ignore[assignment]


def _die_after_two_steps() -> None:
    """As soon as the second step's checkpoint is there."""
    save = checkpoint.save

    def save_and_die(*arguments: Any, **options: Any) -> Path:
        folder = save(*arguments, **options)
        if folder.name == checkpoint.step_name(2):
            _die()
        return folder

    checkpoint.save = save_and_die


def _die_while_writing_a_shard() -> None:
    """In the middle of the second shard's codes."""
    write = tokenize_shards.save_file
    numbers = itertools.count(1)

    def save_file(tensors: Any, path: Path, **options: Any) -> None:
        write(tensors, path, **options)
        if next(numbers) == 2:
            _die()

    tokenize_shards.save_file = save_file


DEATHS = {
    "within a step": _die_within_a_step,
    "while writing": _die_while_writing,
    "after two steps": _die_after_two_steps,
    "while writing a shard": _die_while_writing_a_shard,
}


def _run(job: dict[str, Any], environment: dict[str, str]) -> int:
    """The new process's id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.environ.update(environment)
        torch.set_num_threads(1)
        if "death" in job:
            DEATHS[job["death"]]()
        for command in job["commands"]:
            main(command, standalone_mode=False)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _run_together(job: dict[str, Any]) -> list[int]:
    size = job.get("processes", 1)
    children = [
        _run(
            job,
            {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(size),
                "LOCAL_WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(job.get("port")),
            }
            if size > 1
            else {},
        )
        for rank in range(size)
    ]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    jobs = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    sys.stdout.write(json.dumps([_run_together(job) for job in jobs]))
