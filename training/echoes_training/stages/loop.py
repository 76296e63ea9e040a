"""The part of training that every stage shares: resume, log, evaluate, checkpoint."""

import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig, to_dict
from echoes_training.device import pick_device, pick_precision
from echoes_training.metrics import MetricsLog

logger = logging.getLogger(__name__)

Scalars = dict[str, float]


def resolve(loop: LoopConfig) -> LoopConfig:
    """Replaces ``auto`` by what this machine has, so that the saved settings say what ran."""
    device = pick_device(loop.device)
    precision = pick_precision(loop.precision, device)
    return dataclasses.replace(loop, device=str(device), precision=precision)


def start_run(run: Path, config: Any, stage: str, *, resume: bool) -> None:
    """Writes the settings of a new run, or checks that an old one may be continued.

    Raises:
        InputError: if the folder holds a run and ``resume`` is off, or one that was imported.
    """
    folder = checkpoint.newest(run)
    if folder is not None and not resume:
        raise InputError(f"{run} holds a run already; pass --resume or another --out")
    if folder is not None and folder.name == checkpoint.step_name(0):
        raise InputError(f"{run} was imported, so there is no training to resume; refine it")
    checkpoint.save_config(run, {"stage": stage, "config": to_dict(config)})


def train(
    run: Path,
    loop: LoopConfig,
    state: TrainState,
    step_once: Callable[[int], Scalars],
    evaluate: Callable[[int], Scalars],
) -> None:
    """Runs ``step_once`` from the newest checkpoint to ``loop.steps``.

    ``evaluate(step)`` measures the held-out split and writes the sample sheet of that step.
    """
    folder = checkpoint.newest(run)
    start = 0 if folder is None else checkpoint.load(folder, state)
    if folder is not None:
        logger.info("resuming %s at step %d of %d", run, start, loop.steps)
    saved_at = time.monotonic()
    with MetricsLog(run) as log, tqdm(total=loop.steps, initial=start, mininterval=5) as bar:
        for step in range(start, loop.steps):
            scalars = step_once(step)
            done = step + 1
            bar.update()
            if done % loop.log_every == 0:
                log.write(done, scalars)
                bar.set_postfix({k: f"{v:.3g}" for k, v in list(scalars.items())[:4]})
            if done % loop.evaluate_every == 0 or done == loop.steps:
                log.write(done, evaluate(done))
            due = time.monotonic() - saved_at > 60 * loop.checkpoint_minutes
            if due or done == loop.steps:
                checkpoint.save(run, done, state)
                saved_at = time.monotonic()
