"""The dials that every verb has."""

import secrets
from collections.abc import Iterable
from dataclasses import asdict
from difflib import get_close_matches
from numbers import Real
from typing import cast

from echoes_rt.decode.noise import MAX_SEED, check_seed
from echoes_rt.decode.steps import OnStep
from echoes_rt.errors import InputError
from echoes_rt.format.sampling import Sampling, SamplingOptions


class Options(SamplingOptions, total=False):
    """The keywords of every verb.

    Attributes:
        seed: in [0, 2**64 - 1]; None draws one, which the result reports.
        on_step: called after each decoding step with its 0-based index and the number of steps;
            may return False to cancel.
    """

    seed: int | None
    on_step: OnStep | None


def check_names(names: Iterable[str], among: type = Options) -> None:
    """Raises InputError for a keyword that is not ``among`` those of a class of options."""
    known = (*among.__annotations__,)
    for name in {*names} - {*known}:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise InputError(f"there is no option {name!r}; {hint}")


def check_numbers(**values: object) -> None:
    """Raises InputError for what is no number, by its name."""
    for name, value in values.items():
        if not isinstance(value, Real):
            raise InputError(f"{name} must be a number, got {value!r}")


def options_of(sampling: Sampling) -> SamplingOptions:
    """What to ask for to get this sampling; whether guidance is folded in is not for the asking."""
    values = asdict(sampling)
    return cast(SamplingOptions, {name: values[name] for name in SamplingOptions.__annotations__})


def draw_seed(seed: int | None) -> int:
    """The given seed, checked, or a new one."""
    return secrets.randbelow(MAX_SEED + 1) if seed is None else check_seed(seed)
