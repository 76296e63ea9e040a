"""Prints the oldest versions that pyproject.toml allows for this Python, as constraints for pip."""

import importlib
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("cpu", "video", "heic")


def oldest_versions() -> list[str]:
    """Of what the runtime needs: ``name==version``, as its lower bound says."""
    # pip, which is in every environment, brings what reads such files.
    requirement = importlib.import_module("pip._vendor.packaging.requirements").Requirement
    toml: Any = importlib.import_module(
        "tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli"
    )
    project = toml.loads(PROJECT.read_text("utf-8"))["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    wanted = [requirement(line) for line in [*project["dependencies"], *extras]]
    return [
        f"{part.name}{str(part.specifier).replace('>=', '==')}"
        for part in wanted
        if part.marker is None or part.marker.evaluate()
    ]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in oldest_versions()))
