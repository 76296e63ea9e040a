"""One call of a verb: what was asked for besides the media."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from echoes_rt.decode.noise import MAX_SEED
from echoes_rt.decode.plan import IntArray
from echoes_rt.decode.steps import OnStep
from echoes_rt.format.sampling import Sampling, SamplingOptions
from echoes_rt.options import Options, check_names, draw_seed
from echoes_rt.results import Picture, Sound

Part = TypeVar("Part")
Made = TypeVar("Made")


class Progress:
    """The ``on_step`` of parts that run at once: told one step at a time; one stop stops all."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step
        self._lock = threading.RLock()  # who is told may ask for more
        self._is_stopped = False

    def __call__(self, step: int, steps: int) -> bool:
        with self._lock:
            if not self._is_stopped and self._on_step is not None:
                self._is_stopped = True  # also if it raises
                self._is_stopped = self._on_step(step, steps) is False
            return not self._is_stopped

    def stop(self) -> None:
        self._is_stopped = True


def together(
    make: Callable[[Part], Made], parts: Sequence[Part], callers: int, progress: Progress
) -> list[Made]:
    """What ``make`` gives for each part, in their order; ``callers`` of them are made at once.

    When one fails, those that run end at their next step, and its error is raised.
    """
    if callers == 1 or len(parts) == 1:
        return [make(part) for part in parts]
    pool = ThreadPoolExecutor(callers, thread_name_prefix="echoes-rt")
    try:
        futures = [pool.submit(make, part) for part in parts]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        return [future.result() for future in futures]
    except BaseException:
        progress.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


ENCODERS = {"image": ("image_encoder",), "audio": ("log_mel", "mel_encoder")}
DECODERS = {"image": ("image_decoder",), "audio": ("mel_decoder", "vocoder")}
"""The graphs of each medium's codec."""


class Clock:
    """``timings_ms`` holds wall-clock milliseconds by stage, in the order of the stages."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()
        self._since: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds to the stage of that name, which many may enter, also at once: that counts once."""
        with self._lock:
            if not self._inside[name]:
                self._since[name] = time.perf_counter()
            self._inside[name] += 1
        yield
        with self._lock:
            self._inside[name] -= 1
            if not self._inside[name]:
                took_ms = (time.perf_counter() - self._since[name]) * 1000
                self.timings_ms[name] = self.timings_ms.get(name, 0.0) + took_ms


if TYPE_CHECKING:
    from echoes_rt.model import Model


@dataclass(frozen=True, kw_only=True)
class Call:
    """A seed, the dials, and who wants to hear of progress."""

    model: Model
    seed: int
    options: SamplingOptions
    progress: Progress
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def of(cls, model: Model, options: Options) -> Call:
        check_names(options)
        dials = {k: v for k, v in options.items() if k not in ("seed", "on_step")}
        return cls(
            model=model,
            seed=draw_seed(options.get("seed")),
            options=cast(SamplingOptions, dials),
            progress=Progress(options.get("on_step")),
        )

    def load(self, *graphs: str, target: str | None = None) -> None:
        """Loads what will be needed, so that no other stage is charged with it."""
        decoding = () if target is None else self.model.decoding_graphs(target)
        with self.clock.stage("load"):
            self.model.prepare(*decoding, *graphs)

    def seeds(self, count: int) -> list[int]:
        """``count`` seeds from this call's on: each one alone makes its member again."""
        return [(self.seed + i) % (MAX_SEED + 1) for i in range(count)]

    def unknown(self, target: str, members: int = 1) -> IntArray:
        """(B, N) tokens of a target of which nothing is known."""
        grid = self.model.manifest.tokens.grids[target]
        return np.full((members, grid.n_tokens), grid.mask_token, dtype=np.int32)

    def sampling(self, target: str, tokens: IntArray) -> Sampling:
        unknown = tokens == self.model.manifest.tokens.grids[target].mask_token
        return self.model.sampling(int(unknown.sum(axis=1).max()), self.options)

    def decode(
        self,
        target: str,
        tokens: IntArray,
        context: IntArray | None,
        seeds: Sequence[int],
        window: int = 0,
    ) -> IntArray:
        """``Model.decode_tokens`` with this call's dials; nothing is done where all is known.

        ``context`` may be one member's, which all share.
        """
        if not (tokens == self.model.manifest.tokens.grids[target].mask_token).any():
            return tokens
        if context is not None and len(context) < len(tokens):
            context = np.repeat(context, len(tokens), axis=0)
        with self.clock.stage("decode_tokens"):
            return self.model.decode_tokens(
                target,
                tokens,
                context,
                seeds=seeds,
                sampling=self.sampling(target, tokens),
                window=window,
                on_step=self.progress,
            )

    def render(self, target: str, codes: IntArray, seeds: Sequence[int]) -> NDArray[Any]:
        """(B, N) codes to (B, S) samples or (B, H, W, 3) pixels."""
        with self.clock.stage(f"decode_{target}"):
            if target == "image":
                return self.model.decode_image(codes)
            return self.model.decode_audio(codes, seeds=seeds)

    def result(
        self,
        target: str,
        made: NDArray[Any],
        codes: IntArray,
        sampling: Sampling,
        seed: int | None = None,
        confidence: float | None = None,
    ) -> Sound | Picture:
        """Of one member of what ``render`` gave."""
        if target == "image":
            return Picture(pixels=made, codes=codes, sampling=sampling, **self.origin(seed))
        return Sound(
            samples=made,
            sample_rate=self.model.manifest.mel.sample_rate,
            codes=codes,
            sampling=sampling,
            confidence=confidence,
            **self.origin(seed),
        )

    def confidences(self, images: IntArray) -> list[float | None]:
        """Of each of (S, N_i) pictures' codes."""
        found = self.model.confidence(images)
        return [None] * len(images) if found is None else [float(each) for each in found]

    def origin(self, seed: int | None = None) -> dict[str, Any]:
        """What every result of this call says of how it was made."""
        return {
            "seed": self.seed if seed is None else seed,
            "bundle": self.model.manifest.name,
            "device": self.model.choice.device,
            "timings_ms": self.clock.timings_ms,
        }
