"""Keyed scalars as JSON lines and TensorBoard events, with the samples of a run."""

import json
import time
from pathlib import Path

import cv2
import soundfile
from torch.utils.tensorboard import SummaryWriter

from echoes_rt.io.output_file import written


class MetricsLog:
    """Appends to ``run/metrics.jsonl`` and ``run/tensorboard``.

    What was logged of steps after ``start`` is dropped: a run that was killed makes them again.
    """

    def __init__(self, run: Path, start: int) -> None:
        path = run / "metrics.jsonl"
        kept = [line for line in _lines(path) if _step_of(line) <= start]
        with written(path) as partial:
            partial.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=start + 1)
        self._samples = run / "samples"
        self._start = time.monotonic()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._writer.close()

    def write(self, step: int, scalars: dict[str, float]) -> None:
        elapsed = round(time.monotonic() - self._start, 1)
        line = {"step": step, "elapsed_s": elapsed, **{k: round(v, 6) for k, v in scalars.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for key, value in scalars.items():
            self._writer.add_scalar(key, value, step)

    def show(self, step: int) -> None:
        """Puts what was written to ``run/samples`` at this step into TensorBoard."""
        for path in sorted(self._samples.glob(f"{step:07d}.*")):
            if path.suffix == ".png":
                sheet = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
                self._writer.add_image("samples", sheet, step, dataformats="HWC")
            else:
                samples, sample_rate = soundfile.read(path, dtype="float32")
                self._writer.add_audio("samples", samples[None], step, sample_rate)


def _lines(path: Path) -> list[str]:
    """Whole ones; a kill may have cut the last."""
    if not path.exists():
        return []
    return [x for x in path.read_text("utf-8").splitlines(keepends=True) if x.endswith("\n")]


def _step_of(line: str) -> int:
    return int(json.loads(line)["step"])
