"""One generation, stage by stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from echoes_rt.audio import write_audio
from echoes_rt.engine import Engine
from echoes_rt.image import read_image
from echoes_rt.profile.nvtx_range import nvtx_range
from echoes_rt.spec.sampling import SamplingDefaults

TOTAL = "total"
STEPS = "decode_tokens by steps"
ONE_CALL = "all in one call"

STAGE_OF = {
    "image_encoder": "encode_image",
    "step": "decode_tokens",
    "decode": "decode_tokens",
    "decode_step": "decode_tokens",
    "mel_decoder": "decode_mel",
    "vocoder": "vocode",
}
"""In which stage each graph runs."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a generation, in nanoseconds of ``time.perf_counter_ns``."""

    name: str
    start_ns: int
    stop_ns: int

    @property
    def ms(self) -> float:
        return (self.stop_ns - self.start_ns) / 1e6


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is generated: the same in every run."""

    picture: Path
    out: Path
    sampling: SamplingDefaults
    seed: int = 0
    members: int = 1


@dataclass(kw_only=True)
class _Recorder:
    spans: list[Span] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter_ns()
        with nvtx_range(name):
            yield
        self.spans.append(Span(name=name, start_ns=start, stop_ns=time.perf_counter_ns()))

    def laps(self) -> "_Laps":
        return _Laps(spans=self.spans, last_ns=time.perf_counter_ns())


@dataclass(kw_only=True)
class _Laps:
    """An ``on_step`` that records each step."""

    spans: list[Span]
    last_ns: int

    def __call__(self, step: int, steps: int) -> None:
        now = time.perf_counter_ns()
        name = f"step {step + 1}"
        self.spans.append(Span(name=name, start_ns=self.last_ns, stop_ns=now))
        self.last_ns = now


def generate(engine: Engine, question: Question) -> list[Span]:
    """Makes the sound of a picture and gives its stages, the whole last.

    Where the engine runs all steps in one call and could run them one by one, it does so once more
    after the whole has ended. Where it makes a sound in one call, it does that then, too.
    """
    recorder = _Recorder()
    layout = engine.manifest.tokens
    seeds = [question.seed + i for i in range(question.members)]
    is_fused = engine.loop_graph() == "decode"
    has_steps = is_fused and engine.loop_graph(lambda *_: None) != "decode"
    with recorder.stage(TOTAL):
        with recorder.stage("read"):
            picture = read_image(question.picture)
        with recorder.stage("encode_image"):
            image = engine.encode_image(picture)
        tokens = np.full((question.members, layout.n_tokens), layout.mask_token_id, dtype=np.int32)
        tokens[:, layout.image_slice] = image
        asked = (tokens, tokens == layout.mask_token_id)
        with recorder.stage("decode_tokens"):
            on_step = None if is_fused else recorder.laps()
            codes = engine.decode_tokens(
                *asked, seeds=seeds, sampling=question.sampling, on_step=on_step
            )
        with recorder.stage("decode_mel"):
            mel = engine.decode_mel(codes[:1, layout.audio_slice])
        with recorder.stage("vocode"):
            samples = engine.vocode(mel)[0]
            samples = samples / max(1.0, float(np.abs(samples).max()))
        with recorder.stage("write"):
            write_audio(question.out, samples, engine.manifest.mel.sample_rate)
    total = recorder.spans.pop()
    if has_steps:
        with recorder.stage(STEPS):
            engine.decode_tokens(
                *asked, seeds=seeds, sampling=question.sampling, on_step=recorder.laps()
            )
    if engine.is_one_call:
        with recorder.stage(ONE_CALL):
            engine.image_to_samples(picture, seeds=seeds, sampling=question.sampling)
    recorder.spans.append(total)
    return recorder.spans
