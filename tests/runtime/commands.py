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
    return lambda *arguments, **options: CliRunner().invoke(main, [*map(str, arguments)], **options)


def refused(result: Result, words: str) -> None:
    """One line on stderr that says ``words``, nothing on stdout, no traceback."""
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith("Error: ")
    assert words in result.stderr


def program(*arguments: object, **options: Any) -> "subprocess.CompletedProcess[Any]":
    """The command line in a process of its own, in the current folder; by default it is read."""
    command = [sys.executable, "-m", "echoes_rt", *map(str, arguments)]
    options = options or {"capture_output": True, "text": True}
    return subprocess.run(command, check=True, **options)
