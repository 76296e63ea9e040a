"""What the system's files say of NVIDIA's driver and of a Jetson."""

import re
from pathlib import Path

_PROC_DRIVER = Path("/proc/driver/nvidia/version")
_TEGRA_RELEASE = Path("/etc/nv_tegra_release")


def driver_release() -> str | None:
    """Of the driver, such as 580.95.05; None where there is none, or as on Windows no such file."""
    match = re.search(r"Kernel Module\D*?\s(\d+\.\d+(?:\.\d+)?)\s", _text(_PROC_DRIVER))
    return match[1] if match else None


def l4t_release() -> str | None:
    """Of Jetson Linux, such as 36.4.3; None where this is no Jetson."""
    match = re.search(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)?)", _text(_TEGRA_RELEASE))
    return f"{match[1]}.{match[2]}" if match else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
