"""What the figures were measured on and with."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

from echoes_rt.doctor import cpu_name

_PACKAGES = re.compile("cuda|nncf|numpy|nvidia|onnx|openvino|tensorrt|torch|triton", re.IGNORECASE)
_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)
"""Of /proc/cpuinfo: those that decide which kernels run."""


def machine() -> dict[str, object]:
    found = {d.name: d.version for d in metadata.distributions() if _PACKAGES.match(d.name or "")}
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "flags": _flags(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(sorted(found.items())),
    }


def _flags() -> list[str]:
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    return [flag for flag in _FLAGS if flag in words]
