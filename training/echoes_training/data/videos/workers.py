"""Runs clips through worker processes, in order, and survives a clip that kills its worker."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from typing import TypeVar

import cv2

from echoes_training.data.videos.decode import ClipError
from echoes_training.data.videos.sample import ClipForm, Extract, extract
from echoes_training.data.videos.table import VideoClip

logger = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 4
"""Jobs that are given to each worker before the oldest result is taken: this bounds the memory."""


def in_order(pool: Executor, job: Callable[[A], B], items: Iterable[A], ahead: int) -> Iterator[B]:
    """``map`` that never has more than ``ahead`` results or jobs waiting."""
    waiting: deque[Future[B]] = deque()
    source = iter(items)
    while True:
        waiting.extend(pool.submit(job, item) for item in islice(source, ahead - len(waiting)))
        if not waiting:
            return
        yield waiting.popleft().result()


def extract_all(
    clips: Sequence[VideoClip],
    form: ClipForm,
    n_workers: int,
    job: Callable[..., Extract] = extract,
) -> Generator[Extract, None, None]:
    """What ``extract`` makes of each clip, in the order of the clips."""
    work = partial(job, form=form)
    done = 0
    while done < len(clips):
        pool = _pool(n_workers)
        try:
            for result in in_order(pool, work, islice(clips, done, None), AHEAD * n_workers):
                yield result
                done += 1
        except BrokenProcessPool:
            # It may be any of those under way that killed its worker: the oldest gets one alone.
            logger.warning("a worker died; %s is tried alone", clips[done].video)
            yield _alone(work, clips[done])
            done += 1
        finally:
            pool.shutdown(cancel_futures=True)


def _alone(work: Callable[[VideoClip], Extract], clip: VideoClip) -> Extract:
    with _pool(1) as pool:
        try:
            return pool.submit(work, clip).result()
        except BrokenProcessPool:
            return Extract(files={}, fault=ClipError("crash", "decoding it kills the process"))


def _pool(n_workers: int) -> ProcessPoolExecutor:
    # A forked process would inherit the locks of FFmpeg's and OpenCV's threads.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    cv2.setNumThreads(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A parent that is killed cannot end its workers, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
