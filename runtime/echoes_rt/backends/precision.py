"""In which numbers a CPU multiplies matrices: float32, or 8-bit integers."""

import ctypes
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from echoes_rt.backends.select import DeviceChoice
from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_rt.format.graphs import INT8

PRECISIONS = ("auto", "fp32", "int8")

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class _Feature:
    """Of a processor, and what the three systems call it."""

    name: str
    linux: str
    macos: str
    windows: int


_FEATURES = (
    _Feature(name="AVX2", linux="avx2", macos="hw.optional.avx2_0", windows=40),
    _Feature(
        name="Arm's dot products",
        linux="asimddp",
        macos="hw.optional.arm.FEAT_DotProd",
        windows=43,
    ),
)
"""With one of them ONNX Runtime's integer products are faster than its float32 ones. Measured with
AVX2 alone, and with AVX-512 VNNI, which comes with it and gains more; of Arm's there are kernels,
but no measurement of ours."""


def with_precision(choice: DeviceChoice, requested: str, bundle: Bundle) -> DeviceChoice:
    """The choice with a precision, and with the reason for one that was not the default.

    Args:
        choice: of the device.
        requested: one of ``PRECISIONS``; ``auto`` takes int8 where it is faster. A bundle in int8
            alone is that, whatever is asked for.
        bundle: that is to run.

    Raises:
        InputError: if there is no such precision, or int8 is asked for and cannot be had.
    """
    if requested not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {requested!r}")
    if bundle.manifest.is_int8:
        return replace(choice, precision="int8")
    if requested == "fp32":
        return choice
    if requested == "int8":
        missing = _missing(choice, bundle)
        if missing is not None:
            raise InputError(f"precision int8 cannot be used: {missing}")
        return replace(choice, precision="int8")
    precision, reason = automatic(choice, bundle)
    return replace(choice, precision=precision, reason=f"{choice.reason}; {precision}: {reason}")


def automatic(choice: DeviceChoice, bundle: Bundle) -> tuple[str, str]:
    """What ``auto`` takes, and why."""
    if bundle.manifest.is_int8:
        return "int8", "the bundle has nothing else"
    missing = _missing(choice, bundle)
    if missing is not None:
        return "fp32", missing
    feature = int8_feature()
    if feature is None:
        names = " nor ".join(feature.name for feature in _FEATURES)
        return "fp32", f"this processor has neither {names}"
    return "int8", f"this processor has {feature}"


def int8_feature(cpuinfo: Path = _CPUINFO) -> str | None:
    """What makes int8 faster than float32 on this processor; None if nothing is known to.

    Args:
        cpuinfo: where Linux tells.
    """
    return next((feature.name for feature in _FEATURES if _has(feature, cpuinfo)), None)


def _missing(choice: DeviceChoice, bundle: Bundle) -> str | None:
    if choice.kind != "cpu":
        return f"it is for device cpu, and {choice.device} runs the bundle"
    if not any(name.endswith(INT8) for name in bundle.manifest.graphs):
        return (
            f"bundle {bundle.manifest.name} has no int8 graphs, which echoes-export quantize adds"
        )
    return None


def _has(feature: _Feature, cpuinfo: Path) -> bool:
    if sys.platform == "win32":
        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(feature.windows))
    if sys.platform == "darwin":
        value = ctypes.c_int()
        size = ctypes.c_size_t(ctypes.sizeof(value))
        asked = (feature.macos.encode(), ctypes.byref(value), ctypes.byref(size))
        failed = ctypes.CDLL(None).sysctlbyname(*asked, None, ctypes.c_size_t())
        return not failed and bool(value.value)
    try:
        return feature.linux in cpuinfo.read_text("utf-8", errors="replace").split()
    except OSError:
        return False
