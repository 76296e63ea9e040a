"""The devices that a user can ask for, by name."""

import re
from dataclasses import dataclass

from echoes_rt.errors import InputError

KINDS = ("cpu", "cuda", "tensorrt", "openvino", "webgpu")
"""``tensorrt`` runs the engines of a bundle, by TensorRT or TensorRT-RTX, whichever built
them. All others are execution providers of ONNX Runtime."""

NUMBERED = ("cuda", "tensorrt")
"""Kinds of which a machine may have several: ``cuda:1``."""

HALF_KINDS = ("cuda", "webgpu")
"""Execution providers of GPUs, which compute faster in float16; engines say theirs themselves."""

_NAME = re.compile(r"([a-z]+)(?::(\d{1,3}))?")


@dataclass(frozen=True, kw_only=True)
class Device:
    """``kind`` is one of ``KINDS``; ``index`` counts NVIDIA's GPUs."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.kind in NUMBERED else self.kind


def parse_device(name: str) -> Device:
    """Reads ``cpu``, ``cuda``, ``cuda:1`` and so on.

    Raises:
        InputError: if there is no such device.
    """
    match = _NAME.fullmatch(name)
    kind, number = match.groups() if match else ("", None)
    if kind not in KINDS or (number is not None and kind not in NUMBERED):
        raise InputError(f"device must be auto, {', '.join(KINDS)}, or cuda:<index>, got {name!r}")
    return Device(kind=kind, index=int(number or 0))
