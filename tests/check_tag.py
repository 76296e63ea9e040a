"""Says whether a tag is the version that the package, the npm package and the changelog have."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
    sys.exit("\n".join(problems(sys.argv[1])))
