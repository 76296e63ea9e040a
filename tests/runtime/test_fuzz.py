"""A few of the cases of ``python -m tests.fuzz``."""

import sys
from typing import Any

import pytest
from tests.fuzz import __main__ as fuzz
from tests.fuzz.kinds import KINDS, Kind

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="memory is measured as on POSIX")


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_or_refused(kind: str) -> None:
    assert fuzz.run({kind: 40}, seed=1) == {}


def test_what_goes_wrong_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that crashes, one that stands still, and one whose case ends with a traceback."""
    programs = iter(
        [
            "print('read', flush=True); import os; os.abort()",
            "import time; time.sleep(60)",
            "print('traceback: ValueError()')",
        ]
    )
    real = fuzz.subprocess.Popen

    def start(_: list[str], **options: Any) -> Any:
        return real([sys.executable, "-c", next(programs)], **options)

    monkeypatch.setattr(fuzz.subprocess, "Popen", start)
    ends = list(fuzz.outcomes("picture", 0, 4, patience_s=3))
    assert [end.split(":")[0] for end in ends] == ["read", "crash", "hang", "traceback"]


def test_cases_depend_on_the_seed_alone() -> None:
    assert issubclass(KINDS["picture"], Kind)
    first, again, other = (list(fuzz.outcomes("manifest", seed, 12)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
