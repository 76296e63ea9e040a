"""Versions that this project has and needs: python tests/versions.py oldest | tag NAME.

``oldest`` prints the oldest versions that pyproject.toml allows for this Python, as constraints for
pip. ``tag`` fails if NAME is not the version of the package, the npm package and the changelog.
"""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXTRAS = ("cpu", "video", "heic")


def oldest_versions() -> list[str]:
    """Of what the runtime needs: ``name==version``, as its lower bound says."""
    # pip, which is in every environment, brings what reads such files.
    requirement = importlib.import_module("pip._vendor.packaging.requirements").Requirement
    toml: Any = importlib.import_module(
        "tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli"
    )
    project = toml.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    wanted = [requirement(line) for line in [*project["dependencies"], *extras]]
    return [
        f"{part.name}{str(part.specifier).replace('>=', '==')}"
        for part in wanted
        if part.marker is None or part.marker.evaluate()
    ]


def versions() -> dict[str, str]:
    """By file; the C library reads pyproject.toml."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    web = json.loads((ROOT / "runtime/web/package.json").read_text("utf-8"))
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert found
    assert newest
    return {
        "pyproject.toml": found[1],
        "runtime/web/package.json": web["version"],
        "CHANGELOG.md": newest[1],
    }


def problems(tag: str) -> list[str]:
    return [
        f"{name} has version {version}, the tag is {tag}"
        for name, version in versions().items()
        if tag != f"v{version}"
    ]


if __name__ == "__main__":
    if sys.argv[1] == "tag":
        sys.exit("\n".join(problems(sys.argv[2])) or None)  # an empty text would be a failure
    sys.stdout.write("".join(f"{line}\n" for line in oldest_versions()))
