"""The float32 matrix product at its fastest on this machine's CPU; also a program of its own."""

import json
import os
import subprocess
import sys
import time

from echoes_rt.cpu_limit import BLAS_VARIABLES
from echoes_rt.errors import BackendError

SIZE = 1536
"""Side of the square factors: 9.4 MB each, beyond the caches, as the weights of a network are."""

RUNS = 12


def gemm_peak_gflops(threads: int, size: int = SIZE) -> float:
    """GFLOP/s of numpy's product of two float32 squares, the best of ``RUNS``.

    In a process of its own, because BLAS libraries read their number of threads when they start.

    Raises:
        BackendError: if that process fails.
    """
    environment = os.environ | dict.fromkeys(BLAS_VARIABLES, str(threads))
    try:
        made = subprocess.run(
            [sys.executable, "-m", "echoes_rt.profile.gemm_peak", str(size)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return float(json.loads(made.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BackendError(f"the peak of matrix products cannot be measured: {error}") from error


def _measure(size: int) -> float:
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    product = np.empty_like(a)
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        np.matmul(a, b, out=product)
        taken.append(time.perf_counter() - start)
    return 2 * size**3 / min(taken) / 1e9


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(int(sys.argv[1]))))
