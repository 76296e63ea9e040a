"""Golden files are what the code writes today."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
GOLDEN = TESTS / "fixtures" / "golden"


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    script = [sys.executable, str(TESTS / "make_fixtures.py"), "golden", str(folder)]
    subprocess.run(script, check=True)
    return folder


@pytest.mark.parametrize("name", ["schedule", "noise", "mel", "plan"])
def test_golden_file_is_rewritten_byte_for_byte(name: str, rewritten: Path) -> None:
    assert (rewritten / f"{name}.json").read_text() == (GOLDEN / f"{name}.json").read_text()


def test_no_golden_file_is_left_untested() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {"schedule", "noise", "mel", "plan"}
