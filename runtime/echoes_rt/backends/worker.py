"""One thread for all calls of a session."""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple["Future[Any]", Callable[[], Any]]


class Worker:
    """Does in its own thread what others ask for, one job after another.

    ONNX Runtime keeps the handles of CUDA's libraries, their memory and recorded graphs for each
    thread that runs a session: every new thread of a server would make all of them again.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=_serve, args=(self._jobs,), name=name, daemon=True).start()
        # Nothing is left to end when Python ends.
        weakref.finalize(self, self._jobs.put, None).atexit = False

    def run(self, work: Callable[[], T]) -> T:
        """Waits for what ``work`` gives, or raises what it raises."""
        future: Future[T] = Future()
        self._jobs.put((future, work))
        return future.result()


def _serve(jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        future, work = job
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        # While it waits, it must not keep a session alive that nobody else knows.
        del job, future, work
