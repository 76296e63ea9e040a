"""How many CPUs this process may use: a container's quota and the CPUs that it is bound to."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROCESS = Path("/proc/self")

BLAS_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Which of them counts depends on the BLAS library that numpy was built with."""


def usable_cpus() -> int:
    """At least 1; a quota of 2.5 CPUs counts as 2, since a third thread would be throttled."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cpu_quota()
    return max(1, min(bound or 1, int(quota) if quota is not None else bound or 1))


def thread_limit() -> int | None:
    """``usable_cpus`` where that is less than the machine, which libraries take for granted."""
    usable = usable_cpus()
    return usable if usable < (os.cpu_count() or 1) else None


def cpu_quota(process: Path = _PROCESS) -> float | None:
    """The CPUs of the strictest control group around this process; None without a quota.

    Args:
        process: a folder with the process's ``cgroup`` and ``mountinfo``, as in Linux' /proc.
    """
    try:
        groups = (process / "cgroup").read_text("utf-8", errors="replace").splitlines()
        mounts = (process / "mountinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None  # not Linux
    quotas = [
        quota
        for mount in mounts
        for folder in _group_folders(mount, groups)
        if (quota := _quota_of(folder)) is not None
    ]
    return min(quotas, default=None)


def _group_folders(mount: str, groups: list[str]) -> Iterator[Path]:
    """The process's group and the groups above it, as far as the mount shows them."""
    place, _, kind = mount.partition(" - ")
    fields, kinds = place.split(" "), kind.split(" ")
    if len(fields) < 5 or len(kinds) < 3:
        return
    is_cpu = kinds[0] == "cgroup" and "cpu" in kinds[2].split(",")
    if kinds[0] != "cgroup2" and not is_cpu:
        return
    root, point = PurePosixPath(fields[3]), Path(fields[4])
    for line in groups:
        number, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") if is_cpu else number == "0":
            own = PurePosixPath(path)
            # A container without a namespace of its own sees its group as the mount's root.
            below = own.relative_to(root) if own.is_relative_to(root) else PurePosixPath()
            folder = point / below
            yield from (folder, *list(folder.parents)[: len(below.parts)])


def _quota_of(folder: Path) -> float | None:
    """From ``cpu.max`` of version 2, or version 1's two files."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text("ascii").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period")
            )
        cpus = float(quota) / float(period)  # "max" and -1 stand for none
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cpus if cpus > 0 else None
