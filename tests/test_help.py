"""What ``--help`` says of every command and option, of all three programs."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from echoes_export.cli import main as export_main
from echoes_rt.cli import main as runtime_main
from echoes_training.cli import main as training_main


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for part, below in command.commands.items():
            yield from _commands(below, f"{name} {part}")


COMMANDS = [
    *_commands(runtime_main, "echoes-rt"),
    *_commands(training_main, "echoes-train"),
    *_commands(export_main, "echoes-export"),
]


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_help_says_all(name: str, command: click.Command) -> None:
    """No option without its text, and no command of which the list cuts the first line."""
    shown = CliRunner().invoke(command, ["--help"], terminal_width=80)
    assert shown.exit_code == 0
    _, *lines = shown.output.splitlines()  # the usage may end with [ARGS]...
    cut = [line for line in lines if line.endswith("...")]
    assert cut == []
    options = [part for part in command.params if isinstance(part, click.Option)]
    assert [part.opts for part in options if not part.help] == []
