"""Runs echoes-train in forked processes: ``python forked.py JOBS.json``.

A job is command lines that its processes run one after the other. They are told of each other as
torchrun would, or kill themselves (SIGKILL) midway; a picture codec's teacher has random weights.
The imports, which take longer than all else, are made once. Prints the exit status of each process
of each job; -9 is a kill.
"""

import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from echoes_training import checkpoint
from echoes_training.cli import main
from echoes_training.data.videos import shards
from echoes_training.models.teacher import EfficientNetLite0Teacher
from echoes_training.stages import (  # noqa: F401
    distill,
    image_codec,
    tokenize_shards,
    transformer,
    vocoder,
    vqgan,
)


def _dies(owner: Any, name: str, at: Callable[..., bool], *, is_done: bool) -> None:
    """Where a call of ``owner.name`` fulfils ``at``, the process kills itself: before or after."""
    function = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        is_last = at(*arguments)
        if is_last and not is_done:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)


def _nth(n: int) -> Callable[..., bool]:
    numbers = itertools.count(1)
    return lambda *_: next(numbers) == n


DEATHS: dict[str, Callable[[], None]] = {
    # In the fourth update: of two networks the second one's in the third step.
    "within a step": lambda: _dies(torch.optim.AdamW, "step", _nth(4), is_done=False),
    "while writing": lambda: _dies(
        checkpoint, "save_file", lambda _, path: "step-0000003" in str(path), is_done=True
    ),
    "after two steps": lambda: _dies(
        checkpoint, "save", lambda run, step, state: step == 2, is_done=True
    ),
    # In the fifth clip.
    "within the second shard": lambda: _dies(shards, "_entry", _nth(5), is_done=False),
    "while writing a shard": lambda: _dies(tokenize_shards, "save_file", _nth(2), is_done=True),
}


def _run(job: dict[str, Any], environment: dict[str, str]) -> int:
    """The new process's id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.environ.update(environment)
        EfficientNetLite0Teacher.load_published = lambda _: None  # type: ignore[method-assign]
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
