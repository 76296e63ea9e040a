"""Which device runs the graphs, and why."""

import logging
import re
from dataclasses import dataclass

from echoes_rt.backends.onnx import import_onnxruntime, missing_cuda
from echoes_rt.errors import BackendError, InputError

logger = logging.getLogger(__name__)

_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d{1,3}))?")


@dataclass(frozen=True, kw_only=True)
class DeviceChoice:
    """``device`` is ``cpu`` or ``cuda:<index>``; ``reason`` is a sentence for people."""

    device: str
    reason: str


def choose_device(requested: str = "auto") -> DeviceChoice:
    """Turns ``auto``, ``cpu``, ``cuda`` or ``cuda:<index>`` into a device that starts.

    Raises:
        InputError: if ``requested`` is none of these.
        BackendError: if the requested device does not start; only ``auto`` falls back.
    """
    match = _DEVICE.fullmatch(requested)
    if match is None:
        raise InputError(f"device must be auto, cpu, cuda or cuda:<index>, got {requested!r}")
    import_onnxruntime()
    if requested == "cpu":
        return DeviceChoice(device="cpu", reason="asked for")
    index = int(match[1] or 0)
    missing = missing_cuda(index)
    if missing is None:
        reason = "CUDA starts" if requested == "auto" else "asked for"
        return DeviceChoice(device=f"cuda:{index}", reason=reason)
    if requested != "auto":
        raise BackendError(f"device {requested} cannot be used: {missing}")
    choice = DeviceChoice(device="cpu", reason=missing.reason)
    logger.info("device cpu: %s", choice.reason)
    return choice
