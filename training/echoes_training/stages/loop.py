"""The part of training that every stage shares: resume, log, evaluate, checkpoint."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig
from echoes_training.device import pick_device, pick_precision
from echoes_training.metrics import MetricsLog
from echoes_training.processes import Processes

logger = logging.getLogger(__name__)

Scalars = dict[str, float]


def resolve(loop: LoopConfig) -> LoopConfig:
    """Replaces ``auto`` by what this machine has, so that the saved settings say what ran.

    Raises:
        InputError: if there is no such device, or the processes cannot share a batch evenly.
    """
    device = pick_device(loop.device)
    processes = Processes(device)
    processes.parts(loop.batch_size, loop.accumulate)
    precision = processes.same(pick_precision(loop.precision, device))
    return dataclasses.replace(loop, device=str(device), precision=precision)


def mean(values: Iterable[Scalars]) -> Scalars:
    """Of the parts of one step, name by name."""
    rows = list(values)
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def train(
    run: Path,
    loop: LoopConfig,
    state: TrainState,
    processes: Processes,
    step_once: Callable[[int], Scalars],
    evaluate: Callable[[int], Scalars],
) -> None:
    """Runs ``step_once`` from the newest checkpoint to ``loop.steps``.

    ``evaluate(step)`` measures the held-out split and writes the sample sheet of that step. All
    processes evaluate, and the main one writes: the others would only wait.
    """
    folder = processes.same(checkpoint.newest(run))
    start = 0 if folder is None else checkpoint.load(folder, state)
    processes.wait()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(MetricsLog(run, start)) if processes.is_main else None
        quiet = not processes.is_main
        bar = tqdm(total=loop.steps, initial=start, mininterval=5, disable=quiet)
        stack.enter_context(bar)
        if log and folder is not None:
            logger.info("resuming %s at step %d of %d", run, start, loop.steps)
        saved_at = time.monotonic()
        for step in range(start, loop.steps):
            scalars = step_once(step)
            for average in state.averages.values():
                average.update(step)
            done = step + 1
            bar.update()
            if done % loop.log_every == 0:
                scalars = _mean_of_all(scalars, processes)
                bar.set_postfix({k: f"{v:.3g}" for k, v in list(scalars.items())[:4]})
                if log:
                    log.write(done, scalars)
            if done % loop.evaluate_every == 0 or done == loop.steps:
                with _averaged(state):
                    measured = evaluate(done)
                if log:
                    log.write(done, measured)
            due = time.monotonic() - saved_at > 60 * loop.checkpoint_minutes
            if done == loop.steps or processes.main_says(due):
                checkpoint.save(run, done, state, write=processes.is_main)
                saved_at = time.monotonic()
    processes.wait()


def _mean_of_all(scalars: Scalars, processes: Processes) -> Scalars:
    values = processes.mean(torch.tensor(list(scalars.values()), dtype=torch.float64))
    return dict(zip(scalars, values.tolist(), strict=True))


@contextlib.contextmanager
def _averaged(state: TrainState) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for average in state.averages.values():
            stack.enter_context(average.in_place())
        yield
