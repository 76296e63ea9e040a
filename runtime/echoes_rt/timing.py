"""How long each stage took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """``timings_ms`` holds wall-clock milliseconds by stage, in the order of the stages."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds to the stage of that name, which may be entered many times."""
        start = time.perf_counter()
        yield
        took_ms = (time.perf_counter() - start) * 1000
        self.timings_ms[name] = self.timings_ms.get(name, 0.0) + took_ms
