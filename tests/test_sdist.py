"""A source distribution has what the Makefile and the tests need."""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def included() -> set[str]:
    """First parts of the paths; the build adds pyproject.toml, the readme and the licence."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^\[tool\.hatch\.build\.targets\.sdist\]\ninclude = (\[.*?\])", text, re.M)
    assert found
    return {path.strip("/") for path in json.loads(found[1])} | {"pyproject.toml"}


def test_every_file_that_a_make_target_needs_is_in_it() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    makefile = re.sub(r"\$\(\w+\)/\S+", "", makefile)  # of environments
    needed = set(re.findall(r"[\w./-]+\.(?:toml|txt|py|jpg)\b", makefile))
    assert {"constraints.txt", "bench/requirements.txt", "docs/demo/dog.jpg"} <= needed
    assert {Path(path).parts[0] for path in needed} <= included()


def test_every_package_of_the_repository_that_a_test_imports_is_in_it() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").rglob("*.py")]
    modules = [n.module or "" for t in trees for n in ast.walk(t) if isinstance(n, ast.ImportFrom)]
    names = {module.split(".")[0] for module in modules}
    assert "bench" in names
    assert {name for name in names if (ROOT / name).is_dir()} <= included()
