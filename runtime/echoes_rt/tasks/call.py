"""One call of a verb: what was asked for besides the media."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from echoes_rt.decode.noise import MAX_SEED
from echoes_rt.decode.plan import BoolArray
from echoes_rt.decode.reference import FloatArray, IntArray
from echoes_rt.image import RgbArray
from echoes_rt.options import OnStep, Options, SamplingOptions, draw_seed
from echoes_rt.results import Picture, Sound
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.timing import Clock

if TYPE_CHECKING:
    from echoes_rt.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Call:
    """A seed, the dials, and who wants to hear of progress."""

    engine: Engine
    seed: int
    options: SamplingOptions
    on_step: OnStep | None = None
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def of(cls, engine: Engine, options: Options) -> Call:
        dials = {k: v for k, v in options.items() if k not in ("seed", "on_step")}
        return cls(
            engine=engine,
            seed=draw_seed(options.get("seed")),
            options=cast(SamplingOptions, dials),
            on_step=options.get("on_step"),
        )

    def load(self, *graphs: str) -> None:
        """Loads what will be needed, so that no other stage is charged with it.

        ``step`` stands for the graph that will decode, which may be the fused one.
        """
        loop = self.engine.loop_graph(self.on_step)
        with self.clock.stage("load"):
            self.engine.prepare(*(loop if graph == "step" else graph for graph in graphs))

    def seeds(self, count: int) -> list[int]:
        """``count`` seeds from this call's on: each one alone makes its member again."""
        return [(self.seed + i) % (MAX_SEED + 1) for i in range(count)]

    def question(
        self, image: IntArray | None, audio: IntArray | None, members: int = 1
    ) -> tuple[IntArray, BoolArray]:
        """Tokens (B, N) that hold what is known, and the mask of what is not.

        Args:
            image: (B, N_i) or (1, N_i) codes, ``mask_token_id`` where unknown; None: all unknown.
            audio: (B, N_a) or (1, N_a), the same.
            members: B.
        """
        layout = self.engine.manifest.tokens
        tokens = np.full((members, layout.n_tokens), layout.mask_token_id, dtype=np.int32)
        for codes, part in ((image, layout.image_slice), (audio, layout.audio_slice)):
            if codes is not None:
                tokens[:, part] = codes
        return tokens, tokens == layout.mask_token_id

    def sampling(self, mask: BoolArray) -> SamplingDefaults:
        return self.engine.sampling(int(mask.sum(axis=1).max()), self.options)

    def decode(
        self, tokens: IntArray, mask: BoolArray, seeds: Sequence[int], window: int = 0
    ) -> IntArray:
        """``Engine.decode_tokens`` with this call's dials; nothing is done where all is known."""
        if not mask.any():
            return tokens
        with self.clock.stage("decode_tokens"):
            return self.engine.decode_tokens(
                tokens,
                mask,
                seeds=seeds,
                sampling=self.sampling(mask),
                window=window,
                on_step=self.on_step,
            )

    def sound(
        self,
        samples: FloatArray,
        codes: IntArray,
        sampling: SamplingDefaults,
        seed: int | None = None,
        sample_rate: int | None = None,
    ) -> Sound:
        return Sound(
            samples=samples,
            sample_rate=sample_rate or self.engine.manifest.mel.sample_rate,
            codes=codes,
            sampling=sampling,
            **self._origin(seed),
        )

    def picture(
        self,
        pixels: RgbArray,
        codes: IntArray,
        sampling: SamplingDefaults,
        seed: int | None = None,
    ) -> Picture:
        return Picture(
            pixels=pixels,
            codes=codes,
            sampling=sampling,
            **self._origin(seed),
        )

    def _origin(self, seed: int | None) -> dict[str, Any]:
        """What every result of this call says of how it was made."""
        return {
            "seed": self.seed if seed is None else seed,
            "bundle": self.engine.manifest.name,
            "device": self.engine.choice.device,
            "timings_ms": self.clock.timings_ms,
        }
