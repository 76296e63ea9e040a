"""Keyed scalars as JSON lines and TensorBoard events."""

import json
import time
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Appends to ``run/metrics.jsonl`` and ``run/tensorboard``."""

    def __init__(self, run: Path) -> None:
        self._file = (run / "metrics.jsonl").open("a", encoding="utf-8")
        self._writer = SummaryWriter(str(run / "tensorboard"))
        self._start = time.monotonic()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._writer.close()

    def write(self, step: int, scalars: dict[str, float]) -> None:
        elapsed = round(time.monotonic() - self._start, 1)
        line = {"step": step, "elapsed_s": elapsed, **{k: round(v, 6) for k, v in scalars.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for key, value in scalars.items():
            self._writer.add_scalar(key, value, step)
