"""README's lines, copied one by one into a folder that has a user's files alone, work there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.pages import README, ROOT, blocks, make_shell, run_shell

CLONE = ("Makefile", "constraints.txt", "pyproject.toml", "docs/demo/dog.jpg")
"""What a clone has and the lines take."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    for name in CLONE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "docs/demo/dog.jpg", folder / "image.jpg")
    shutil.copy(ROOT / "tests/fixtures/av1.mp4", folder / "clip.mp4")
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 22_050)
    for name in ("sound.wav", "in.wav"):
        soundfile.write(folder / name, noise, 22_050)
    return folder


def test_every_line_works(folder: Path, tmp_path: Path) -> None:
    """For what ``pip`` and ``make`` do here see ``STAND_INS``."""
    pytest.importorskip("av")
    lines = [line for block in blocks(README, kind="") for line in block.lines]
    said = run_shell(lines, make_shell(tmp_path), folder)
    (shown,) = blocks(README, kind="text")
    for line in shown.lines:
        assert re.search(rf"^{re.escape(line.split()[0])}", said, re.MULTILINE), said
    words = {word for line in lines for word in line.split()}
    outputs = {word for word in words if Path(word).suffix in (".wav", ".png", ".mp4")}
    assert len(outputs) > 5
    for name in outputs:
        assert (folder / name).stat().st_size > 100, name


def test_the_python_works(folder: Path) -> None:
    (example,) = blocks(README, kind="python")
    (folder / "out.wav").unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", example.text], cwd=folder, check=True)
    assert soundfile.info(folder / "out.wav").duration > 5
