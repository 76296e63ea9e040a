"""Several parts of a call at once, in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from echoes_rt.decode.steps import OnStep

Part = TypeVar("Part")
Made = TypeVar("Made")


class Progress:
    """The ``on_step`` of parts that run at once: told one step at a time; one stop stops all."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step
        self._lock = threading.RLock()  # who is told may ask for more
        self._is_stopped = False

    def __call__(self, step: int, steps: int) -> bool:
        with self._lock:
            if not self._is_stopped and self._on_step is not None:
                self._is_stopped = True  # also if it raises
                self._is_stopped = self._on_step(step, steps) is False
            return not self._is_stopped

    def stop(self) -> None:
        self._is_stopped = True


def together(
    make: Callable[[Part], Made], parts: Sequence[Part], callers: int, progress: Progress
) -> list[Made]:
    """What ``make`` gives for each part, in their order; ``callers`` of them are made at once.

    When one fails, those that run end at their next step, and its error is raised.
    """
    if callers == 1 or len(parts) == 1:
        return [make(part) for part in parts]
    pool = ThreadPoolExecutor(callers, thread_name_prefix="echoes-rt")
    try:
        futures = [pool.submit(make, part) for part in parts]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        return [future.result() for future in futures]
    except BaseException:
        progress.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
