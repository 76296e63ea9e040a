"""Signals end the run of a graph that never would."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.manifests import put_graph

from echoes_rt.backends.lifetime import RAISING, ended_by_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# Says when a graph runs, for before that Python itself hears of signals. Where a shell started the
# tests in the background, SIGINT is ignored.
PROGRAM = """
import signal
import sys
from echoes_rt.backends import onnx
from echoes_rt.cli import main
run_watched = onnx.run_watched

def say_and_run(*arguments):
    print("running", flush=True)
    return run_watched(*arguments)

onnx.run_watched = say_and_run
signal.signal(signal.SIGINT, signal.default_int_handler)
main(sys.argv[1:])
"""


@pytest.fixture
def endless_bundle(copy: Path, tiny_bundle: Path) -> Path:
    """Its image encoder is a Loop that goes on for ever."""
    put_graph(copy, "image_encoder", (tiny_bundle.parent / "endless.onnx").read_bytes())
    return copy


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_command_ends_and_leaves_nothing(
    number: int, status: int, endless_bundle: Path, picture: Path
) -> None:
    out = picture.with_name("out.wav")
    arguments = ["generate", str(picture), str(out), "--bundle", str(endless_bundle)]
    before = set(picture.parent.iterdir())
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "running\n"
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(number)
            assert process.wait(timeout=120) == status
        finally:
            process.kill()
    assert set(picture.parent.iterdir()) == before


def test_only_a_handler_that_raises_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    options = SimpleNamespace(terminate=False)
    taken: list[int] = []

    def take_note(number: int, _: object) -> None:
        taken.append(number)

    def run() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        until = time.monotonic() + 0.3
        while time.monotonic() < until and not options.terminate:
            time.sleep(0.01)
        return "done"

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        handler = signal.signal(signal.SIGTERM, take_note)
        descriptor = signal.set_wakeup_fd(theirs.fileno())
        try:
            assert ended_by_signals(run, options) == "done"
            assert not options.terminate
            monkeypatch.setattr("echoes_rt.backends.lifetime.RAISING", [*RAISING, take_note])
            ended_by_signals(run, options)
            assert options.terminate
            assert taken == [signal.SIGTERM] * 2
            ours.settimeout(5)  # who listened before us still hears of signals
            assert ours.recv(1) == ours.recv(1) == bytes([signal.SIGTERM])
        finally:
            assert signal.set_wakeup_fd(descriptor) == theirs.fileno()
            signal.signal(signal.SIGTERM, handler)
