"""Other engines on the same GPU, in a process of their own: they need PyTorch."""

import json
import re
import subprocess
import sys
from pathlib import Path

from echoes_rt.nvidia.gpu_check.outcome import FAILED, PASSED, SKIPPED, Outcome

_MODULE = "bench.gpu_peers"
_TIMEOUT_S = 1800

# What a machine may lack; a module of ours that is missing is a mistake of ours.
_LACKS = re.compile(r"No module named (?!'?(?:echoes_|bench\.))|finds no CUDA device")


def check_peers(bundle: Path, runs: int) -> Outcome:
    """``bench.gpu_peers`` of the repository; skipped without it, PyTorch or a GPU for it."""
    done = subprocess.run(
        [sys.executable, "-m", _MODULE, str(bundle), "--runs", str(runs)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        status = SKIPPED if _LACKS.search(said) else FAILED
        return Outcome(check="peers", device="-", status=status, said=said)
    results = json.loads(done.stdout.strip().splitlines()[-1])
    times = [
        f"{r['name']} {r['total_ms']:.1f} ms" if r["total_ms"] else f"{r['name']}: {r['failure']}"
        for r in results
    ]
    figures: dict[str, object] = {"results": results}
    return Outcome(check="peers", device="-", status=PASSED, said="; ".join(times), figures=figures)
