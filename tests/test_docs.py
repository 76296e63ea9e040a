"""The pages lead somewhere, and the commands that they show are commands that the tools take."""

import re
import shlex
from pathlib import Path

import pytest
from click import Command, Context, Group

from echoes_export.cli import main as export
from echoes_rt.cli import main as run
from echoes_training.cli import main as train

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOOLS = {"echoes-rt": run, "echoes-train": train, "echoes-export": export}
FENCE = re.compile(r"^```", re.MULTILINE)


def prose(page: Path) -> str:
    return "".join(FENCE.split(page.read_text("utf-8"))[::2])


def links(page: Path) -> list[str]:
    return [to for to in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in to]


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shown_commands() -> list[str]:
    """Of every block, in one line each, without comments."""
    found = []
    for page in PAGES:
        for block in FENCE.split(page.read_text("utf-8"))[1::2]:
            for line in block.replace("\\\n", " ").splitlines():
                if line.split(" ")[0] in TOOLS:
                    found.append(" ".join(line.partition(" #")[0].split()))
    return sorted(set(found))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_picture_is_on_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    pictures = {path for path in (ROOT / "docs").glob("*.*") if path.suffix in (".jpg", ".png")}
    assert pictures <= shown


@pytest.mark.parametrize("line", shown_commands())
def test_a_shown_command_is_one_that_the_tool_takes(line: str) -> None:
    name, *words = shlex.split(line)
    command: Command = TOOLS[name]
    while isinstance(command, Group):
        command = command.commands[words.pop(0)]
    # Only the form is parsed: the files are the reader's own.
    command.make_parser(Context(command)).parse_args(words)
