"""A few of the cases of ``python -m tests.fuzz``, and of the kills."""

import mmap
import sys
from typing import Any

import pytest
from tests.fuzz import __main__ as fuzz
from tests.fuzz import kills
from tests.fuzz.kinds import KINDS
from tests.fuzz.memory import MAX_BYTES, growth

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="memory is measured as on POSIX")


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_or_refused(kind: str) -> None:
    assert fuzz.run({kind: 40}, seed=1) == {}


def test_what_goes_wrong_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that crashes, one that stands still, and one whose case ends with a traceback."""
    programs = iter(
        [
            "print('read', flush=True); import os; os.abort()",
            "import signal, time; signal.alarm(1); time.sleep(60)",
            "print('traceback: ValueError()')",
        ]
    )
    real = fuzz.subprocess.Popen

    def start(_: list[str], **options: Any) -> Any:
        return real([sys.executable, "-c", next(programs)], **options)

    monkeypatch.setattr(fuzz.subprocess, "Popen", start)
    ends = list(fuzz.outcomes("picture", 0, 4))
    assert [end.split(":")[0] for end in ends] == ["read", "crash", "hang", "traceback"]


def test_cases_depend_on_the_seed_alone() -> None:
    first, again, other = (list(fuzz.outcomes("manifest", seed, 12)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_killed_commands_leave_whole_files() -> None:
    assert kills.run(5, seed=1) == []


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as on Linux")
@pytest.mark.parametrize("pages", [0, 4])
def test_memory_that_grows_is_seen(pages: int) -> None:
    kept = []

    def keep(turn: int) -> None:
        # Of the system's own: what was freed before in this process would not count as new.
        if pages:
            kept.append(mmap.mmap(-1, pages * mmap.PAGESIZE))
            kept[-1].write(b"x" * len(kept[-1]))

    assert (growth(keep, 400) > MAX_BYTES) == (pages > 0)
