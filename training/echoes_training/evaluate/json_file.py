"""Results as a .json file that appears whole or not at all."""

import json
from pathlib import Path
from typing import Any

from echoes_rt.io.output_file import written


def write_json(path: Path, values: dict[str, Any]) -> None:
    with written(path) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
