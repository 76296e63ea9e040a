"""Runs cases one after another and says on stdout, a line for each, how they ended."""

import random
import resource
import signal
import sys
import tempfile
from pathlib import Path

from tests.fuzz.kinds import KINDS, Run

from echoes_rt.errors import EchoesError

MAX_MB = 1000
PATIENCE_S = 60


def outcome(run: Run, rng: random.Random) -> str:
    """``read`` or ``refused``, or else what is wrong with our code."""
    before = _peak_mb()
    try:
        run(rng)
        said = "read"
    except EchoesError as error:
        said = "refused" if str(error).isprintable() else f"unfit: {str(error)!r}"
    except Exception as error:
        said = f"traceback: {error!r}"
    grown = _peak_mb() - before
    return said if grown < MAX_MB else f"memory: {grown:.0f} MB more"


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main() -> None:
    """Arguments: kind, seed, the first case, and the one behind the last."""
    name, (seed, start, stop) = sys.argv[1], map(int, sys.argv[2:])
    if name == "graph":
        # A graph is a program, and asks for what it likes; then ONNX Runtime must bear a refusal.
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MB * 10**6,) * 2)
    with tempfile.TemporaryDirectory() as folder:
        run = KINDS[name](Path(folder))
        for index in range(start, stop):
            signal.alarm(PATIENCE_S)  # ends the process, whatever it does
            said = outcome(run, random.Random(f"{seed} {name} {index}"))
            sys.stdout.write(" ".join(said.split())[:300] + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
