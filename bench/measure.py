"""Runs of all contenders in turns, so that all meet the same machine."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np

from bench.contenders import Contender, Sound

PAUSE_S = 0.2
"""Between two runs: threads of the last one still spin for a while."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians of one contender, or why there are none.

    Attributes:
        equal_tokens: with the first contender that ran of its kind, ours or not, for the same seed.
    """

    name: str
    is_ours: bool
    total_ms: float | None = None
    total_min_ms: float | None = None
    loop_ms: float | None = None
    load_s: float | None = None
    equal_tokens: float | None = None
    failure: str = ""

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """``load_s`` is with a first run, which does not count."""

    contender: Contender
    run: Callable[[], Sound]
    load_s: float


def measure(contenders: Iterable[Contender], runs: int, say: Callable[[str], None]) -> list[Result]:
    """Loads all, then runs all in turns."""
    order: list[_Loaded | Result] = []
    for contender in contenders:
        say(f"loading {contender.name}")
        order.append(_load(contender))
        if isinstance(order[-1], Result):
            say(f"{contender.name} does not run: {order[-1].failure}")
    loaded = [entry for entry in order if isinstance(entry, _Loaded)]
    sounds: dict[str, list[Sound]] = {entry.contender.name: [] for entry in loaded}
    for i in range(runs):
        say(f"run {i + 1} of {runs}")
        for entry in loaded:
            time.sleep(PAUSE_S)
            sounds[entry.contender.name].append(entry.run())
    references: dict[bool, str] = {}
    for entry in loaded:
        references.setdefault(entry.contender.is_ours, entry.contender.name)
    return [
        entry
        if isinstance(entry, Result)
        else _result(entry, sounds, references[entry.contender.is_ours])
        for entry in order
    ]


def _load(contender: Contender) -> _Loaded | Result:
    start = time.perf_counter()
    try:
        run = contender.make()
        run()
    except Exception as error:  # whatever an engine that is not ours raises
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        failure = f"{type(error).__name__}: {reason}"
        return Result(name=contender.name, is_ours=contender.is_ours, failure=failure)
    load_s = time.perf_counter() - start
    return _Loaded(contender=contender, run=run, load_s=load_s)


def _result(entry: _Loaded, sounds: dict[str, list[Sound]], reference: str) -> Result:
    made = sounds[entry.contender.name]
    return Result(
        name=entry.contender.name,
        is_ours=entry.contender.is_ours,
        total_ms=float(np.median([sound.total_ms for sound in made])),
        total_min_ms=min(sound.total_ms for sound in made),
        loop_ms=float(np.median([sound.loop_ms for sound in made])),
        load_s=entry.load_s,
        equal_tokens=float((made[0].codes == sounds[reference][0].codes).mean()),
    )
