"""Which graphs a device runs faster in float16 than in float32."""

import time
from collections.abc import Callable, Collection

import numpy as np

from echoes_rt.backends.base import Arrays
from echoes_rt.backends.device import HALF_KINDS, parse_device
from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_rt.format.graphs import BATCH, DRAWN, FRAMES, GUIDED, SEEN, Dim
from echoes_rt.model import Model

ROUNDS = 20
_WARM_UP = 2


def faster(whole: Bundle, half: Bundle, device: str, say: Callable[[str], None]) -> Collection[str]:
    """Those of ``half`` that ``device`` runs faster than those of ``whole``; tells of each.

    Raises:
        InputError: if that device never runs graphs in float16.
        BackendError: if it cannot be used.
    """
    if parse_device(device).kind not in HALF_KINDS:
        raise InputError(
            f"device must be {' or '.join(HALF_KINDS)}, which run float16 graphs, got {device!r}"
        )
    first, second = (Model.load(bundle, device=device) for bundle in (whole, half))
    found = speeds(first, second, ROUNDS)
    for name, (whole_ms, half_ms) in found.items():
        verdict = "kept" if half_ms < whole_ms else "left out"
        say(f"{name}: {whole_ms:.3f} ms, in float16 {half_ms:.3f} ms; {verdict}")
    return {name for name, (whole_ms, half_ms) in found.items() if half_ms < whole_ms}


def speeds(whole: Model, half: Model, rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each graph of ``half`` in both, for one sound or one picture.

    In turns, so that both meet the same machine.
    """
    found = {}
    for name in half.manifest.graphs:
        sessions = [model.session(name) for model in (whole, half)]
        asked = _question(half, name)
        taken: list[list[float]] = [[], []]
        for _ in range(_WARM_UP + rounds):
            for session, times in zip(sessions, taken, strict=True):
                start = time.perf_counter()
                session.run(asked)
                times.append((time.perf_counter() - start) * 1000)
        first, second = (float(np.median(times[_WARM_UP:])) for times in taken)
        found[name] = first, second
    return found


def _question(model: Model, name: str) -> Arrays:
    """Of the usual size; how long a graph takes does not depend on the numbers."""
    tokens, steps = model.manifest.tokens, model.manifest.sampling.steps
    n_tokens = max(grid.n_tokens for grid in tokens.grids.values())
    frames = model.manifest.mel.n_frames
    sizes: dict[Dim, int] = {
        **dict.fromkeys((BATCH, SEEN, GUIDED), 1),
        **{DRAWN: -(-n_tokens // steps), FRAMES: frames},
    }
    return {
        key: np.zeros([sizes.get(dim, dim) for dim in spec.shape], spec.dtype)  # type: ignore[misc]
        for key, spec in model.session(name).inputs.items()
    }
