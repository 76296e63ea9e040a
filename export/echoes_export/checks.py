"""What a verification measured, as records and as a table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MIN_SNR_DB = 60.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measured number; without a ``limit`` it is for information only."""

    graph: str
    metric: str
    value: float
    limit: float | None
    is_ok: bool = True


def table(checks: list[Check]) -> str:
    rows = [("graph", "metric", "value", "limit", "ok")]
    for check in checks:
        limit = "-" if check.limit is None else f"{check.limit:g}"
        verdict = "-" if check.limit is None else "yes" if check.is_ok else "NO"
        rows.append((check.graph, check.metric, f"{check.value:.6g}", limit, verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def snr_db(a: Array, b: Array) -> float:
    """Of one clip; a NaN on either side fails every limit."""
    signal, noise = (float(np.square(x, dtype=np.float64).sum()) for x in (a, a - b))
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(max(signal, 1e-30) / noise))
