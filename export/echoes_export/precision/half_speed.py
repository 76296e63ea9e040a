"""Which graphs a device runs faster in float16 than in float32."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import numpy as np

from echoes_rt.backends.base import WatchedSession
from echoes_rt.backends.device import HALF_KINDS, parse_device
from echoes_rt.backends.session_start import SessionDials
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import noise_pictures
from echoes_rt.errors import InputError
from echoes_rt.format.tokens import OTHER
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


class Stopwatch:
    """A watcher that adds up seconds by graph."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def dials(self, graph: str, device: str, dials: SessionDials) -> SessionDials:
        return dials

    def loaded(self, graph: str, session: WatchedSession) -> None:
        session.around = lambda: self._around(graph)

    @contextmanager
    def _around(self, graph: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[graph] += time.perf_counter() - start


def speeds(whole: Model, half: Model, rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each graph of ``half`` in both, for one sound or one picture.

    In turns, so that both meet the same machine.
    """
    watches = [Stopwatch(), Stopwatch()]
    models = [model.beside(watch) for model, watch in zip((whole, half), watches, strict=True)]
    taken: list[list[defaultdict[str, float]]] = [[], []]
    for number in range(_WARM_UP + rounds):
        for model, watch, spent in zip(models, watches, taken, strict=True):
            watch.spent = defaultdict(float)
            run_all(model)
            if number >= _WARM_UP:
                spent.append(watch.spent)

    def median(spent: list[defaultdict[str, float]], name: str) -> float:
        return 1000 * float(np.median([of[name] for of in spent]))

    return {name: (median(taken[0], name), median(taken[1], name)) for name in half.manifest.graphs}


def run_all(model: Model) -> None:
    """Runs each graph that can be had in float16 as one sound or one picture needs it."""
    names, grids = model.manifest.graphs.keys(), model.manifest.tokens.grids
    (picture,) = noise_pictures(model.manifest.image, 1)
    codes = {"image": model.encode_image(picture)}
    codes["audio"] = np.zeros((1, grids["audio"].n_tokens), dtype=np.int32)
    for target, grid in grids.items():
        if not {f"decode_{target}_step", f"context_{OTHER[target]}"} <= names:
            continue
        tokens = np.full((1, grid.n_tokens), grid.mask_token, dtype=np.int32)
        context = codes[OTHER[target]]
        codes[target] = model.decode_tokens(target, tokens, context, seeds=[0])
        if f"logits_{target}" in names:
            model.logits(target, tokens, context)
    mel = model.decode_mel(codes["audio"])
    model.vocode(mel)
    if "mel_encoder" in names:
        model.encode_mel(mel)
    if "image_decoder" in names:
        model.decode_image(codes["image"])
