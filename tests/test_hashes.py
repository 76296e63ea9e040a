"""hashes.txt has what the runtime needs, in the versions that the tests run with."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME_AND_VERSION = re.compile(r"^([\w-]+)==([\w.]+)", re.M)


def test_versions_are_those_of_the_constraints() -> None:
    hashed = dict(NAME_AND_VERSION.findall((ROOT / "hashes.txt").read_text("utf-8")))
    tested = dict(NAME_AND_VERSION.findall((ROOT / "constraints.txt").read_text("utf-8")))
    both = hashed.keys() & tested.keys()
    assert {name: hashed[name] for name in both} == {name: tested[name] for name in both}


def test_nothing_that_the_runtime_needs_is_missing() -> None:
    hashed = dict(NAME_AND_VERSION.findall((ROOT / "hashes.txt").read_text("utf-8")))
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    lists = re.findall(r"^(?:dependencies|cpu|video) = (\[.*?\])\n", project, re.M | re.S)
    assert len(lists) == 3
    assert {*re.findall(r'"([\w-]+)', "".join(lists))} <= hashed.keys()
