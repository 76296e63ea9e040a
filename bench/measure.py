"""Runs of all contenders in turns, so that all meet the same machine."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np

from bench.contenders import Contender, Sound

WARM_UP = 1
PAUSE_S = 0.2
"""Between two runs: threads of the last one still spin for a while."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians of one contender, or why there are none.

    Attributes:
        equal_tokens: with the first contender that ran, for the same seed.
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


def measure(contenders: Iterable[Contender], runs: int, say: Callable[[str], None]) -> list[Result]:
    """Loads all, then runs all in turns."""
    loaded: list[tuple[Contender, Callable[[], Sound], float]] = []
    results: dict[str, Result] = {}
    for contender in contenders:
        say(f"loading {contender.name}")
        start = time.perf_counter()
        try:
            run = contender.make()
            for _ in range(WARM_UP):
                run()
        except Exception as error:  # whatever an engine that is not ours raises
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            failure = f"{type(error).__name__}: {reason}"
            say(f"{contender.name} does not run: {failure}")
            results[contender.name] = Result(
                name=contender.name, is_ours=contender.is_ours, failure=failure
            )
            continue
        results[contender.name] = Result(name=contender.name, is_ours=contender.is_ours)
        loaded.append((contender, run, time.perf_counter() - start))
    sounds: dict[str, list[Sound]] = {contender.name: [] for contender, _, _ in loaded}
    for i in range(runs):
        say(f"run {i + 1} of {runs}")
        for contender, run, _ in loaded:
            time.sleep(PAUSE_S)
            sounds[contender.name].append(run())
    reference = sounds[loaded[0][0].name][0].codes if loaded else np.empty(0)
    for contender, _, load_s in loaded:
        made = sounds[contender.name]
        loops = [sound.loop_ms for sound in made if sound.loop_ms is not None]
        results[contender.name] = Result(
            name=contender.name,
            is_ours=contender.is_ours,
            total_ms=float(np.median([sound.total_ms for sound in made])),
            total_min_ms=min(sound.total_ms for sound in made),
            loop_ms=float(np.median(loops)) if loops else None,
            load_s=load_s,
            equal_tokens=float((made[0].codes == reference).mean()),
        )
    return list(results.values())
