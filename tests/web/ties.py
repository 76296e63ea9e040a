"""Is a difference from Python a tie? python tests/web/ties.py BUNDLE TASK SEED [NOISE] [RUNS].

Another build of ONNX Runtime adds up in another order, so its logits differ in the last bits. Where
a draw lies that near to the border between two tokens, the codes differ. This runs a task of
make_expected.py again and again with so much noise on the logits, and tells how often its codes are
others than without: where that is never, a difference has another cause.
"""

import sys
from typing import Any

import make_expected
import numpy as np

from echoes_rt.decode import reference
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import FloatArray, IntArray, make_plan
from echoes_rt.pipeline import Echoes

NOISE = 2.5e-6
"""Standard deviation of the logits of onnxruntime-web 1.30 (WebAssembly) from those of
ONNX Runtime 1.32 with AVX2, on echoes-mini."""


class Noisy(Echoes):
    """Decodes by the reference, with noise on the logits."""

    noise = 0.0
    rng = np.random.default_rng(0)

    def decode_tokens(
        self, target: str, tokens: IntArray, context: IntArray | None = None, **asked: Any
    ) -> IntArray:
        grid = self.manifest.tokens.grids[target]
        mask = tokens == grid.mask_token
        sampling = asked.get("sampling") or self.sampling(int(mask.sum()))

        def logits_of(tokens: IntArray, sees_context: bool) -> FloatArray:
            logits = self.logits(target, tokens, context if sees_context else None)
            drawn = self.rng.standard_normal(logits.shape, dtype=np.float32)
            return np.asarray(logits + np.float32(self.noise) * drawn)

        return reference.decode(
            logits_of,
            tokens,
            make_plan(mask, grid.order, sampling),
            uniforms(asked["seeds"], asked.get("window", 0), grid.n_tokens),
            has_context=context is not None,
        )


def main(bundle: str, task: str, seed: str, noise: str = str(NOISE), runs: str = "20") -> None:
    echoes = Noisy.load(bundle, device="cpu")
    ask = make_expected.tasks(echoes, make_expected.Media.of(echoes))[task]
    codes, _ = ask(int(seed))
    echoes.noise = float(noise)
    n_others = sum(ask(int(seed))[0] != codes for _ in range(int(runs)))
    sys.stdout.write(f"{task} with seed {seed}: other codes in {n_others} of {runs} runs\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
