"""Kills echoes-rt at random moments; status 1 if an output is not whole or a file stays behind."""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from tests.fuzz.kinds import TINY_BUNDLE

OUTPUTS = {"new.wav": "in.png", "new.flac": "in.png", "new.png": "in.wav"}
"""Of each kind of output, from what it is made; the same seed gives the same bytes."""

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


# Says when all is imported, which takes longer than all the rest.
PROGRAM = """
import signal, sys
from echoes_rt import pipeline
from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.cli import main
import_onnxruntime()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it,
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup this
print(flush=True)
main(sys.argv[1:])
"""


class Runner:
    """Runs the command in a folder of its own, with the tiny bundle as a zip."""

    def __init__(self, folder: Path) -> None:
        self.outputs, self.scratch = folder / "outputs", folder / "scratch"
        self._folder = folder
        for made in (self.outputs, self.scratch):
            made.mkdir()
        shutil.make_archive(str(folder / "bundle"), "zip", TINY_BUNDLE)
        cv2.imwrite(str(folder / "in.png"), np.zeros((40, 50, 3), np.uint8))

    def run(self, name: str, number: int = 0, after_s: float = 0.0) -> tuple[int, float]:
        """Its exit code, or minus the number of the signal that ended it, and its seconds."""
        places = [str(self._folder / OUTPUTS[name]), str(self.outputs / name)]
        options = ["--seed", "1", "--bundle", str(self._folder / "bundle.zip")]
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "generate", *places, *options],
            env={**os.environ, "TMPDIR": str(self.scratch)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            start = time.perf_counter()
            if number:
                time.sleep(after_s)
                process.send_signal(number)
            process.stdout.read()
        return process.returncode, time.perf_counter() - start

    def left(self) -> list[str]:
        """What is there besides outputs."""
        paths = [*self.outputs.iterdir(), *self.scratch.iterdir()]
        return sorted(path.name for path in paths if path.name not in OUTPUTS)


def run(count: int, seed: int) -> list[str]:
    """Prints how often which signal found what, and gives what should not have happened."""
    ends: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        echoes = Runner(Path(folder))
        new, took_s = _whole_runs(echoes)
        for turn in range(count):
            rng = random.Random(f"{seed} {turn}")
            name, number = rng.choice([*OUTPUTS]), rng.choice(SIGNALS)
            out = echoes.outputs / name
            before = rng.choice([None, b"old", new[name][:-1]])
            out.unlink(missing_ok=True)
            if before is not None:
                out.write_bytes(before)
            status, _ = echoes.run(name, number, rng.uniform(0, took_s[name]))
            after, left = (out.read_bytes() if out.exists() else None), echoes.left()
            what = f"turn {turn}, {signal.Signals(number).name}"
            ends[f"{signal.Signals(number).name} {_found(before, after, new[name])}"] += 1
            if after != new[name] and (after != before or status == 0):
                wrong.append(f"{what}: {name} is not whole, status {status}")
            if left and number != signal.SIGKILL:
                wrong.append(f"{what}: {', '.join(left)} left behind, status {status}")
            if left:
                ends["left behind until the next run"] += 1
                echoes.run(name)
                if echoes.left():
                    wrong.append(f"{what}: {', '.join(left)} left behind by the next run, too")
    print(*(f"{end}: {n}" for end, n in sorted(ends.items())), sep="\n")  # noqa: T201
    return wrong


def _whole_runs(echoes: Runner) -> tuple[dict[str, bytes], dict[str, float]]:
    """What each output is, and how long it takes."""
    new, took_s = {}, {}
    for name in OUTPUTS:
        status, took_s[name] = echoes.run(name)
        if status:
            raise RuntimeError(f"making {name} fails")
        new[name] = (echoes.outputs / name).read_bytes()
        if name == "new.wav":
            shutil.copy(echoes.outputs / name, echoes.outputs.parent / OUTPUTS["new.png"])
    return new, took_s


def _found(before: bytes | None, after: bytes | None, new: bytes) -> str:
    if after == new:
        return "found the new output"
    return "found none" if before is None else "found the old output"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    wrong = run(asked.count, asked.seed)
    for what in wrong:
        print(what)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
