"""The part of training that every stage shares: resume, log, evaluate, checkpoint."""

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig
from echoes_training.device import pick_device, pick_precision
from echoes_training.metrics import MetricsLog
from echoes_training.processes import Processes

logger = logging.getLogger(__name__)

Scalars = dict[str, float]
Measures = dict[str, Tensor]
"""Of a step, each without dimensions, where they were computed: reading one waits for a GPU."""

T = TypeVar("T")
V = TypeVar("V", float, Tensor)

GRADIENT_NORM = "grad_norm"
"""Ends the names of what must be a number."""


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


def mean(values: Iterable[dict[str, V]]) -> dict[str, V]:
    """Of the parts of one step, name by name."""
    total, *others = list(values)
    for row in others:
        total = {name: value + row[name] for name, value in total.items()}
    return {name: value / (1 + len(others)) for name, value in total.items()}


def measured(losses: Mapping[str, Tensor]) -> Measures:
    """The losses of a part under the names in the log, without their graphs."""
    return {f"train/{name}": value.detach() for name, value in losses.items()}


def train(
    run: Path,
    loop: LoopConfig,
    state: TrainState,
    processes: Processes,
    step_once: Callable[[int], Measures],
    evaluate: Callable[[int], Scalars],
) -> None:
    """Runs ``step_once`` from the newest checkpoint to ``loop.steps``.

    ``evaluate(step)`` measures the validation split and writes the sample sheet of that step. All
    processes evaluate, and the main one writes: the others would only wait.

    What a step measures is read when it is logged, and before it is evaluated or kept.

    Raises:
        InputError: if a gradient is no number; the newest checkpoint is from before.
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
            measures = step_once(step)
            for average in state.averages.values():
                average.update(step)
            done = step + 1
            bar.update()
            is_logged = done % loop.log_every == 0
            is_evaluated = done % loop.evaluate_every == 0 or done == loop.steps
            due = time.monotonic() - saved_at > 60 * loop.checkpoint_minutes
            is_kept = done == loop.steps or processes.main_says(due)
            if is_logged or is_evaluated or is_kept:
                scalars = _mean_of_all(measures, processes)
                _check_norms(scalars, done, loop)
            if is_logged:
                bar.set_postfix({k: f"{v:.3g}" for k, v in list(scalars.items())[:4]})
                if log:
                    log.write(done, scalars)
            if is_evaluated:
                with _averaged(state):
                    found = evaluate(done)
                if log:
                    log.write(done, found)
                    log.show(done)
            if is_kept:
                checkpoint.save(run, done, state, write=processes.is_main)
                saved_at = time.monotonic()
    processes.wait()


def _mean_of_all(measures: Measures, processes: Processes) -> Scalars:
    values = processes.mean(torch.stack([value.double() for value in measures.values()]))
    return dict(zip(measures, values.tolist(), strict=True))


def _check_norms(scalars: Scalars, done: int, loop: LoopConfig) -> None:
    """A gradient that is no number leaves weights that are none: all later norms show it."""
    for name, norm in scalars.items():
        if name.endswith(GRADIENT_NORM) and not math.isfinite(norm):
            raise InputError(
                f"the training diverged by step {done}: the norm of its gradient is {norm}; "
                "lower the rate: --set loop.learning_rate with less than "
                f"{loop.learning_rate:g}, for a new run or with --resume from the newest "
                "checkpoint, which is kept"
            )


@contextlib.contextmanager
def _averaged(state: TrainState) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for average in state.averages.values():
            stack.enter_context(average.in_place())
        yield


AHEAD = 4
"""Steps whose samples are made at once, each in a thread: NumPy, OpenCV and PyTorch let go of the
interpreter where they compute."""


class Prefetch(Generic[T]):
    """The samples of a step, from ``make``, called with its number.

    Those of later steps are made while a GPU works; on a CPU, whose cores are busy, only then.
    """

    def __init__(self, make: Callable[[int], T], steps: int, device: torch.device) -> None:
        """Of a run of ``steps``; ``make`` must give the same in whichever order it is called."""
        self.make = make
        self.steps = steps
        self._threads = None if device.type == "cpu" else ThreadPoolExecutor(AHEAD)
        self._coming: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        if self._threads is None:
            return self.make(step)
        for later in range(step, min(step + AHEAD + 1, self.steps)):
            if later not in self._coming:
                self._coming[later] = self._threads.submit(self.make, later)
        return self._coming.pop(step).result()
