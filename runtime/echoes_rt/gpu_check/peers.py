"""Other engines on the same GPU, in a process of their own: they need PyTorch."""

import json
import subprocess
import sys
from pathlib import Path

from echoes_rt.gpu_check.outcome import PASSED, SKIPPED, Outcome

_MODULE = "bench.gpu_peers"
_TIMEOUT_S = 1800


def check_peers(bundle: Path, runs: int) -> Outcome:
    """``bench.gpu_peers`` of the repository, where there are PyTorch and a GPU for it."""
    done = subprocess.run(
        [sys.executable, "-m", _MODULE, str(bundle), "--runs", str(runs)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Outcome(check="peers", device="-", status=SKIPPED, said=said)
    results = json.loads(done.stdout.strip().splitlines()[-1])
    times = [
        f"{r['name']} {r['total_ms']:.1f} ms" if r["total_ms"] else f"{r['name']}: {r['failure']}"
        for r in results
    ]
    figures: dict[str, object] = {"results": results}
    return Outcome(check="peers", device="-", status=PASSED, said="; ".join(times), figures=figures)
