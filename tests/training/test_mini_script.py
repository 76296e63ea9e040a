"""training/runs/mini.sh leaves no training behind, however it ends."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "training/runs/mini.sh"

# The picture codec trains in the background and says so; then the mel codec ends as it is told to.
TRAIN = """#!/usr/bin/env bash
case $1 in
  image-codec) mkfifo "$WORLD/trains.partial"; echo $$ > "$WORLD/pid"
    mv "$WORLD/trains.partial" "$WORLD/trains"; exec cat "$WORLD/trains" ;;
  mel-codec) until [ -e "$WORLD/trains" ]; do sleep 0.01; done; eval "$END" ;;
esac
"""


@pytest.mark.parametrize("end", ["exit 1", "kill -INT 0", "kill $PPID; sleep 0.01"])
def test_no_training_goes_on_in_the_background(tmp_path: Path, end: str) -> None:
    command = tmp_path / "bin" / "echoes-train"
    command.parent.mkdir()
    command.write_text(TRAIN, encoding="utf-8")
    command.chmod(0o755)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "index.jsonl").touch()
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "WORLD": str(tmp_path), "END": end}
    script = subprocess.Popen(
        ["bash", SCRIPT, tmp_path, tmp_path],
        env=environment,
        start_new_session=True,
        # Where the tests run in the background, interrupts may be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    try:
        assert script.wait(timeout=60) != 0
        background = int((tmp_path / "pid").read_text())
        with pytest.raises(ProcessLookupError):
            os.kill(background, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)
