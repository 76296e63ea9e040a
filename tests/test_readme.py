"""What the README shows must work: its commands exist, its Python runs."""

import re
import shlex
from pathlib import Path

import pytest
from click import Command, Context, Group

from echoes_rt.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language; plain fences are of language ''."""
    # A fence opens and closes: every second piece is the inside of a block.
    inside = re.split(r"^```", README, flags=re.MULTILINE)[1::2]
    pairs = [block.split("\n", 1) for block in inside]
    return [text for name, text in pairs if name.strip() == language]


def shown_commands() -> list[list[str]]:
    lines = [line for block in blocks("") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words for words in commands if words and words[0] == "echoes-rt"]


def test_the_readme_shows_the_main_verbs() -> None:
    assert {"generate", "info", "doctor"} <= {words[1] for words in shown_commands()}


@pytest.mark.parametrize("words", shown_commands(), ids=" ".join)
def test_a_shown_command_is_one_that_the_tool_takes(words: list[str]) -> None:
    assert isinstance(main, Group)
    command: Command = main.commands[words[1]]
    # Only the form is parsed: the files of the README's examples are the reader's own.
    command.make_parser(Context(command)).parse_args(words[2:])


def test_the_python_example_runs(
    tiny_bundle: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOES_RT_BUNDLE", str(tiny_bundle))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.jpg").write_bytes(picture.read_bytes())
    examples = blocks("python")
    assert examples
    for code in examples:
        exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "out.wav").stat().st_size > 44
