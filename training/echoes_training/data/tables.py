"""Tables of media, CSV or JSON lines, as text by column."""

import csv
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

from echoes_rt.errors import InputError

T = TypeVar("T")

Cells = dict[str, str]


def read_table(
    table: Path,
    parse: Callable[[Cells], T],
    required: Collection[str],
    optional: Collection[str] | None = None,
) -> list[T]:
    """What ``parse`` makes of each row.

    Args:
        table: a .csv or .jsonl file.
        parse: gets the stripped cells of a row by column; refuses them by a ValueError.
        required: columns that must be there, and filled in every row.
        optional: all others that may be there; None allows any.

    Raises:
        InputError: names file and line of the first row that breaks the rules.
    """
    if table.suffix.lower() not in (".csv", ".jsonl"):
        raise InputError(f"a table must be a .csv or .jsonl file, got {table}")
    read = _csv_rows if table.suffix.lower() == ".csv" else enumerate
    parsed = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write the BOM
            for number, row in read(file, 1):
                if not isinstance(row, str) or row.strip():
                    try:
                        parsed.append(parse(_cells(row, required, optional)))
                    except ValueError as error:
                        raise InputError(f"{table}:{number}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the table {table}: {error}") from error
    if not parsed:
        raise InputError(f"{table} has no rows")
    return parsed


def _csv_rows(file: TextIO, _: int) -> Iterator[tuple[int, dict[str, Any]]]:
    header = file.readline()
    file.seek(0)
    # As spreadsheets write where the comma is the decimal point.
    delimiter = ";" if ";" in header and "," not in header else ","
    reader = csv.DictReader(file, restkey="(a cell without a column)", delimiter=delimiter)
    return ((reader.line_num, row) for row in reader)


def _cells(
    row: str | dict[str, Any], required: Collection[str], optional: Collection[str] | None
) -> Cells:
    values = json.loads(row) if isinstance(row, str) else row
    if not isinstance(values, dict):
        raise ValueError(f"a row must be a JSON object, got {values!r}")
    if missing := [name for name in required if name not in values]:
        raise ValueError(f"columns missing: {', '.join(missing)}; found: {', '.join(values)}")
    allowed = values if optional is None else (*required, *optional)
    if unknown := [name for name in values if name not in allowed]:
        raise ValueError(
            f"unknown column {', '.join(map(repr, unknown))}; allowed are {', '.join(allowed)}"
        )
    cells = {name: "" if v is None else str(v).strip() for name, v in values.items()}
    if empty := [name for name in required if not cells[name]]:
        raise ValueError(f"{' and '.join(empty)} is empty")
    return cells
