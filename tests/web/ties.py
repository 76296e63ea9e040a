"""Is a difference from Python a tie? python tests/web/ties.py BUNDLE VERB SEED [NOISE] [RUNS].

Another build of ONNX Runtime adds up in another order, so its logits differ in the last bits. Where
a draw lies that near to the border between two tokens, the codes differ. This runs a verb of
make_expected.py again and again with so much noise on the logits, and tells how often its codes are
others than without: where that is never, a difference has another cause.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import make_expected
import numpy as np

from echoes_rt.backends.base import Session
from echoes_rt.pipeline import Echoes

NOISE = 2.5e-6
"""Standard deviation of the logits of onnxruntime-web 1.30 (WebAssembly) from those of
ONNX Runtime 1.32 with AVX2, on echoes-mini."""


@dataclass
class Noisy:
    """A step graph with noise on what it gives."""

    session: Session
    scale: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def device(self) -> str:
        return self.session.device

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        logits = self.session.run(inputs)["logits"]
        noise = self.scale * self.rng.standard_normal(logits.shape, dtype=np.float32)
        return {"logits": logits + noise}


class Steps(Echoes):
    """Runs the loop on the host."""

    def loop_graph(self, on_step: object = None) -> str:
        return "step"


def main(bundle: str, verb: str, seed: str, noise: str = str(NOISE), runs: str = "20") -> None:
    echoes = Steps.load(bundle, device="cpu")
    step = Noisy(echoes._session("step"))
    echoes._sessions["step"] = step
    ask = make_expected.verbs(echoes, make_expected.Media.of(echoes))[verb]
    codes, _ = ask(int(seed))
    step.scale = float(noise)
    n_others = sum(ask(int(seed))[0] != codes for _ in range(int(runs)))
    sys.stdout.write(f"{verb} with seed {seed}: other codes in {n_others} of {runs} runs\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
