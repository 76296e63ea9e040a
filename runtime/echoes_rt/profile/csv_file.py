"""Stage times as a table for a spreadsheet."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from echoes_rt.io.output_file import written
from echoes_rt.profile.report import Profile

COLUMNS = ("subject", "stage", "p50_ms", "p95_ms", "min_ms", "gflop")


def csv_text(profiles: Sequence[Profile]) -> str:
    """A row for each stage of each subject."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for profile in profiles:
        for stage, times in profile.stages.items():
            figures = (times.p50, times.p95, times.min, profile.flop[stage] / 1e9)
            rows.writerow([profile.subject.label, stage, *(f"{x:.6g}" for x in figures)])
    return text.getvalue()


def write_csv(path: Path, profiles: Sequence[Profile]) -> None:
    """Raises InputError if the file cannot be written."""
    with written(path) as partial:
        partial.write_text(csv_text(profiles), encoding="utf-8")
