"""The code blocks of README and docs, and how those of commands are run.

A block without a language is for a shell, and a test runs it. Where it takes what no test has, the
word after the fence says what (``NOT_RUN``), or which test runs the same commands on a small scale.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests/fixtures/tiny_bundle"
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]

LANGUAGES = ("c", "cmake", "cpp", "json", "python", "text", "ts")
NOT_RUN = ("aarch64", "android", "gpu", "minutes", "training")


@dataclass(frozen=True)
class Block:
    page: Path
    kind: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Commands, in one line each, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]


def blocks(*pages: Path, kind: str | None = None) -> list[Block]:
    """The fenced blocks of some pages, all or of one kind; plain fences are of kind ''."""
    found = []
    for page in pages:
        # A fence opens and closes: every second piece is the inside of a block.
        for inside in re.split(r"^```", page.read_text("utf-8"), flags=re.MULTILINE)[1::2]:
            name, text = inside.split("\n", 1)
            found.append(Block(page, name.strip(), text))
    return [block for block in found if kind in (None, block.kind)]


# The environment of the tests stands in for what pip installs; test_distribution installs a wheel.
# Of make's targets only demo is run, in that environment. What is profiled is tiny. A server ends
# once it says its address, or that there is no page: make web needs Node.js.
STAND_INS = {
    "pip": "",
    "aplay": "cat > played.wav",
    "make": '[ "$1" = demo ] || set -- --dry-run "$@"\nexec {make} "$@"',
    "echoes-rt": """
if [ "$1" = profile ]; then export ECHOES_RT_BUNDLE={tiny}; fi
if [ "$1" != demo ]; then exec {python} -m echoes_rt "$@"; fi
{python} -m echoes_rt demo --port 0 > said 2>&1 &
until [ -s said ]; do sleep 0.05; done
kill $! 2> /dev/null; grep -E "http://|make web" said
""",
}


def make_shell(folder: Path) -> Path:
    """Puts ``STAND_INS`` into an empty folder, for the PATH."""
    if sys.platform == "win32" or not (make := shutil.which("make")):
        pytest.skip("NOT TESTED: there is no make")
    for name, script in STAND_INS.items():
        path = folder / name
        code = script.format(make=make, python=sys.executable, tiny=TINY)
        path.write_text(f"#!/bin/sh\n{code}", "utf-8")
        path.chmod(0o755)
    # As an environment that make has made already.
    (folder / "bin").mkdir()
    (folder / "bin" / "echoes-rt").symlink_to(folder / "echoes-rt")
    (folder / ".installed").touch()
    return folder


def run_shell(lines: list[str], shell: Path, folder: Path) -> str:
    """Runs lines in a folder with the bundled model; the first that fails ends it."""
    env = os.environ | {
        "PATH": f"{shell}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": f"RUNTIME_VENV={shell}",
    }
    env.pop("ECHOES_RT_BUNDLE", None)
    done = subprocess.run(
        ["bash", "-ex", "-o", "pipefail", "-c", "\n".join(lines)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
