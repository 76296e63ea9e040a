"""Device, precision and per-step randomness, decided in one place."""

import contextlib
import time
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import Tensor, nn

from echoes_rt.errors import InputError

M = TypeVar("M", bound=nn.Module)


def pick_device(name: str) -> torch.device:
    """``auto`` takes CUDA where it works; anything else is taken at its word.

    Raises:
        InputError: if there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        exists = (device.index or 0) < torch.get_device_module(device).device_count()
    except RuntimeError:
        exists = False
    if not exists:
        raise InputError(f"loop.device must be auto, cpu or cuda and be there, got {name!r}")
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """Resolves ``auto`` to ``bf16`` or ``fp32`` by which multiplies matrices faster here.

    Measured rather than looked up: a CPU without bf16 instructions emulates them hundreds of times
    slower. The answer is saved with the run, so that a resumed run does not change its mind.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    fp32, bf16 = (
        # The best, because a machine that is busy elsewhere disturbs single ones.
        min(_product_seconds(dtype) for _ in range(3))
        for dtype in (torch.float32, torch.bfloat16)
    )
    return "bf16" if bf16 < 0.7 * fp32 else "fp32"


def _product_seconds(dtype: torch.dtype) -> float:
    a = torch.ones(256, 256, dtype=dtype)
    start = time.perf_counter()
    a @ a
    return time.perf_counter() - start


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """In it, nothing is autocast: bf16 changes one code of twenty, and codes must stay the same."""
    kind = device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return contextlib.nullcontext()  # an exporter, which never is in it, need not know of it
    return torch.autocast(kind, enabled=False)


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """Without waiting for what a GPU still has to do."""
    if device.type == "cuda" and not x.is_cuda:
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def channels_last(module: M) -> M:
    """Kernels in the order in which convolutions are fastest: a fifth more speed on an x86 core."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def step_generator(seed: int, step: int) -> torch.Generator:
    """All of a step's randomness comes from its number, so that resuming needs no saved state."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
