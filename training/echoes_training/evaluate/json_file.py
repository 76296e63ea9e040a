"""Results as a .json file that appears whole or not at all."""

import json
from pathlib import Path
from typing import Any

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import replacing


def write_json(path: Path, values: dict[str, Any]) -> None:
    try:
        with replacing(path) as partial:
            partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
