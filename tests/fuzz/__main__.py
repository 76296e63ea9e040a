"""Reads mutated files by the thousand; status 1 if one is neither read nor refused."""

import argparse
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

SHARES = {"picture": 0.35, "sound": 0.3, "manifest": 0.2, "graph": 0.15}


def outcomes(kind: str, seed: int, count: int) -> Iterator[str]:
    """How each case ended; a worker that dies or stands still is replaced, and its case counted."""
    done = 0
    while done < count:
        for said in _of_one_worker(kind, seed, done, count):
            done += 1
            yield said


def _of_one_worker(kind: str, seed: int, start: int, stop: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.fuzz.worker", kind, *map(str, (seed, start, stop))]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            start += 1
            yield line.strip()
            if line.startswith("memory"):
                worker.kill()  # a fresh one measures the next ones
                return
    if start < stop:
        is_late = worker.returncode == -signal.SIGALRM
        yield "hang: too long" if is_late else f"crash: status {worker.returncode}"


def run(counts: dict[str, int], seed: int) -> dict[str, list[str]]:
    """Prints how often each kind ended how, and gives by kind what should not have happened."""
    wrong: dict[str, list[str]] = {}
    for kind, count in counts.items():
        ends: Counter[str] = Counter()
        wrong[kind] = []
        for index, said in enumerate(outcomes(kind, seed, count)):
            ends[said.split(":")[0]] += 1
            if said not in ("read", "refused"):
                wrong[kind].append(f"case {index}: {said}")
        print(f"{kind:<9}", ", ".join(f"{end} {n}" for end, n in sorted(ends.items())))  # noqa: T201
    return {kind: cases for kind, cases in wrong.items() if cases}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="cases of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counts = {kind: round(asked.count * share) for kind, share in SHARES.items()}
    wrong = run(counts, asked.seed)
    for kind, cases in wrong.items():
        print(*(f"{kind} {case}" for case in cases), sep="\n")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
