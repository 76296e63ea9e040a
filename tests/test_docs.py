"""The pages lead somewhere, what they show works, and ``--help`` leaves nothing out."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from click import Command, Context, Group, Option
from click.testing import CliRunner
from tests.pages import (
    DOCS,
    LANGUAGES,
    NOT_RUN,
    PAGES,
    README,
    ROOT,
    Block,
    blocks,
    make_shell,
    run_shell,
)

from echoes_export.cli import main as export
from echoes_rt.cli import main as run
from echoes_training.cli import main as train

ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md"]
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
    lines = [" ".join(line.split()) for block in blocks(*ALL_PAGES) for line in block.lines]
    return sorted({line for line in lines if line.split(" ")[0] in TOOLS})


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_picture_is_on_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in ALL_PAGES for link in links(page)}
    pictures = {path for path in DOCS.glob("*.*") if path.suffix in (".jpg", ".png")}
    assert pictures <= shown


@pytest.mark.parametrize("line", shown_commands())
def test_a_shown_command_is_one_that_the_tool_takes(line: str) -> None:
    name, *words = shlex.split(line)
    command: Command = TOOLS[name]
    while isinstance(command, Group):
        command = command.commands[words.pop(0)]
    # Only the form is parsed: the files are the reader's own.
    command.make_parser(Context(command)).parse_args(words)


def _with_commands(command: Command, name: str) -> Iterator[tuple[str, Command]]:
    yield name, command
    if isinstance(command, Group):
        for part, below in command.commands.items():
            yield from _with_commands(below, f"{name} {part}")


COMMANDS = dict(item for name, tool in TOOLS.items() for item in _with_commands(tool, name))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_all(name: str) -> None:
    """No option without its text, no first line that a list cuts; the runtime's have examples."""
    command = COMMANDS[name]
    shown = CliRunner().invoke(command, ["--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert not name.startswith("echoes-rt ") or f"Example: {name}" in shown.output
    _, *lines = shown.output.splitlines()  # the usage may end with [ARGS]...
    assert [line for line in lines if line.endswith("...")] == []
    options = [part for part in command.params if isinstance(part, Option)]
    assert [part.opts for part in options if not part.help] == []


def test_shown_extras_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    _, _, table = project.partition("[project.optional-dependencies]")
    extras = re.findall(r"^(\w+) = \[", table.partition("\n\n")[0], re.MULTILINE)
    shown = re.findall(r"\.\[([\w,]+)\]", "".join(page.read_text("utf-8") for page in ALL_PAGES))
    assert len(shown) > 3
    assert set(",".join(shown).split(",")) <= set(extras)


@pytest.mark.parametrize(
    "block",
    [block for block in blocks(*PAGES) if block.kind not in ("", *LANGUAGES, *NOT_RUN)],
    ids=lambda block: f"{block.page.stem}-{block.kind}",
)
def test_the_test_of_a_block_is_there_and_runs_its_commands(block: Block) -> None:
    path = ROOT / block.kind
    assert path.is_relative_to(ROOT / "tests")
    code = path.read_text("utf-8")
    for line in block.lines:
        tool, *words = line.split()
        if tool in ("echoes-train", "echoes-export"):
            assert re.search(rf"\b{words[0]}\b", code), line


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    """What a user of the pages has."""
    folder = tmp_path / "here"
    for name in ("photos", "docs/demo"):
        (folder / name).mkdir(parents=True)
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "docs/demo/dog.jpg"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("dog.jpg", "sea.jpg", "image.jpg", "photos/1.jpg", "photos/2.jpg"):
        shutil.copy(ROOT / "docs/demo/dog.jpg", folder / name)
    shutil.copy(ROOT / "tests/fixtures/av1.mp4", folder / "clip.mp4")
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 22_050)
    for name in ("in.wav", "rain.wav", "sound.wav"):
        soundfile.write(folder / name, noise, 22_050)
    mask = np.zeros((60, 90), np.uint8)
    mask[20:30, 40:60] = 255
    cv2.imwrite(str(folder / "mask.png"), mask)
    cv2.imwrite(str(folder / "in.png"), np.full((60, 90, 3), 99, np.uint8))
    shutil.copytree(tiny_bundle, folder / "my-model")  # what is read of it has the same names
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_python_work(
    page: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what pip and others do here see ``STAND_INS``."""
    pytest.importorskip("av")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ECHOES_RT_BUNDLE", raising=False)
    lines = [line for block in blocks(page, kind="") for line in block.lines]
    if lines:
        is_of_sources = any("git ls-files" in line for line in lines)
        (shell := tmp_path / "shell").mkdir()
        said = run_shell(lines, make_shell(shell), ROOT if is_of_sources else folder)
        if page == README:
            check_outputs(lines, said, folder)
    for block in blocks(page, kind="python"):
        exec(compile(block.text, page.name, "exec"), {})
    assert page != README or soundfile.info("out.wav").duration > 5


def check_outputs(lines: list[str], said: str, folder: Path) -> None:
    """The README shows what is said, and makes every file that it names."""
    (shown,) = blocks(README, kind="text")
    for line in shown.lines:
        assert re.search(rf"^{re.escape(line.split()[0])}", said, re.MULTILINE), said
    words = {word for line in lines for word in line.split()}
    outputs = {word for word in words if Path(word).suffix in (".wav", ".png", ".mp4")}
    assert len(outputs) > 5
    for name in outputs:
        assert (folder / name).stat().st_size > 100, name
    (folder / "out.wav").unlink()
