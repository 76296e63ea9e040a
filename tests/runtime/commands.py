"""What many tests of the command line do: run it in a folder, and see that it refuses."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from echoes_rt.cli import main

Run = Callable[..., Result]


def runner(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands in a folder with ``bundle`` as the default."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ECHOES_RT_BUNDLE", str(bundle))
    return lambda *arguments: CliRunner().invoke(main, [str(part) for part in arguments])


def refused(result: Result, line: str, exit_code: int = 1) -> None:
    """One line on stderr, nothing on stdout, no traceback."""
    assert (result.stderr, result.stdout) == (f"Error: {line}\n", "")
    assert result.exit_code == exit_code


def refused_with(result: Result, beginning: str) -> None:
    """One line that begins so."""
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {beginning}")
    assert result.stderr.count("\n") == 1


def program(*arguments: object, **options: Any) -> "subprocess.CompletedProcess[Any]":
    """The command line in a process of its own, in the current folder; by default it is read."""
    command = [sys.executable, "-m", "echoes_rt", *map(str, arguments)]
    options = options or {"capture_output": True, "text": True}
    return subprocess.run(command, check=True, **options)
