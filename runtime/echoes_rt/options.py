"""The dials that every verb has."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import Any, TypedDict

import numpy as np

from echoes_rt.decode.noise import MAX_SEED, check_seed
from echoes_rt.errors import CancelledError, InputError
from echoes_rt.spec.sampling import SamplingDefaults

OnStep = Callable[[int, int], bool | None]


class SamplingOptions(TypedDict, total=False):
    """What SamplingDefaults says; what is None or missing is the bundle's default."""

    steps: int | None
    guidance_scale: float | None
    temperature: float | None
    choice_temperature: float | None
    guidance_schedule: str | None
    guidance_interval: tuple[float, float] | None


class Options(SamplingOptions, total=False):
    """The keywords of every verb.

    Attributes:
        seed: in [0, 2**64 - 1]; None draws one, which the result reports.
        on_step: called after each decoding step with its 0-based index and the number of steps;
            may return False to cancel.
    """

    seed: int | None
    on_step: OnStep | None


def apply_options(
    defaults: SamplingDefaults, options: SamplingOptions, *, n_unknown: int, max_steps: int
) -> SamplingDefaults:
    """The defaults with what is not None in their place, and no more steps than unknown tokens.

    Raises:
        InputError: if a value is out of range; ``steps`` may not exceed ``max_steps``, however
            many tokens are unknown: decodings of one call ask for different numbers of them.
    """
    changes: dict[str, Any] = {name: v for name, v in options.items() if v is not None}
    for name in changes.keys() - {"guidance_schedule", "guidance_interval"}:
        value = changes[name]
        if isinstance(value, bool) or not isinstance(value, Real):
            raise InputError(f"{name} must be a number, got {value!r}")
    steps = changes.get("steps", defaults.steps)
    if not isinstance(steps, int | np.integer) or not 1 <= steps <= max_steps:
        raise InputError(f"steps must be a whole number in [1, {max_steps}], got {steps}")
    changes["steps"] = min(steps, max(1, n_unknown))
    try:
        return replace(defaults, **changes)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from error


def report_steps(on_step: OnStep | None, steps: int) -> None:
    """Tells of steps that are over already.

    Raises:
        CancelledError: if ``on_step`` returned False.
    """
    for step in range(steps if on_step is not None else 0):
        assert on_step is not None
        if on_step(step, steps) is False:
            raise CancelledError(f"cancelled after step {step + 1} of {steps}")


def draw_seed(seed: int | None) -> int:
    """The given seed, checked, or a new one."""
    return secrets.randbelow(MAX_SEED + 1) if seed is None else check_seed(seed)
