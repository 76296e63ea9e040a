"""The float32 matrix product at its fastest on this machine's CPU; also a program of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from echoes_rt.cpu_limit import BLAS_VARIABLES
from echoes_rt.errors import BackendError

SIZE = 1536
"""Side of the square factors: 9.4 MB each, beyond the caches, as the weights of a network are."""

RUNS = 12

IDLE_SHARE = 0.85
"""Below it other programs had so much of the cores that times say little of the machine."""


@dataclass(frozen=True, kw_only=True)
class Peak:
    """What the CPU reaches.

    Attributes:
        gflops: the best of ``RUNS`` products, in GFLOP/s.
        cpu_share: of its threads' time, that they had a core; other programs took the rest.
    """

    gflops: float
    cpu_share: float

    @property
    def is_busy(self) -> bool:
        return self.cpu_share < IDLE_SHARE


def gemm_peak(threads: int, size: int = SIZE) -> Peak:
    """Multiplies two float32 squares with numpy.

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
        gflops, cpu_s_per_s = json.loads(made.stdout)
        return Peak(gflops=gflops, cpu_share=min(1.0, cpu_s_per_s / threads))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BackendError(f"the peak of matrix products cannot be measured: {error}") from error


def _measure(size: int) -> tuple[float, float]:
    """GFLOP/s, and the CPUs that were had meanwhile."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    product = np.empty_like(a)
    taken = []
    np.matmul(a, b, out=product)  # threads start, clocks rise
    begin, used = time.perf_counter(), time.process_time()
    for _ in range(RUNS):
        start = time.perf_counter()
        np.matmul(a, b, out=product)
        taken.append(time.perf_counter() - start)
    cpus = (time.process_time() - used) / (time.perf_counter() - begin)
    return 2 * size**3 / min(taken) / 1e9, cpus


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(int(sys.argv[1]))))
