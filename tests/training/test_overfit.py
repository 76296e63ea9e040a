"""The base transformer, shrunk, can learn pairs by heart in both directions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from echoes_rt.decode.plan import FloatArray, IntArray, make_plan
from echoes_rt.decode.reference import decode
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import OTHER, Grid, TokenLayout
from echoes_training import checkpoint
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.models.transformer import MaskedTransformer, TransformerConfig
from echoes_training.presets import PRESETS
from echoes_training.stages.transformer import train_transformer

PAIRS = 16
CODES = 32
LAYOUT = TokenLayout(
    image=Grid(height=3, width=3, codebook_size=CODES),
    audio=Grid(height=2, width=5, codebook_size=CODES),
)


def random_pairs() -> TokenCache:
    rng = np.random.default_rng(0)

    def table(n_tokens: int) -> TokenTable:
        codes = rng.integers(0, CODES, (PAIRS, n_tokens), dtype=np.int16)
        return TokenTable(
            codes=np.concatenate([codes, codes]),
            group=np.tile(np.arange(PAIRS, dtype=np.int32), 2),
            validation=np.arange(2 * PAIRS) >= PAIRS,
        )

    return TokenCache(
        image=table(LAYOUT.image.n_tokens),
        audio=table(LAYOUT.audio.n_tokens),
        image_codebook=rng.standard_normal((CODES, 8)).astype(np.float32),
        audio_codebook=rng.standard_normal((CODES, 8)).astype(np.float32),
        groups=[f"pair:{i}" for i in range(PAIRS)],
    )


def test_greedy_decoding_returns_the_pairs_that_were_trained_on(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    base = PRESETS["base"].transformer
    loop = replace(
        base.loop,
        steps=450,
        batch_size=16,
        learning_rate=5e-3,
        warmup_steps=20,
        precision="fp32",
        device="cpu",
    )
    shape = TransformerConfig(width=48, layers=2, heads=4)
    config = replace(base, loop=loop, model=shape, layout=LAYOUT, unpaired=0.0)
    cache = random_pairs()
    train_transformer(tmp_path, cache, config)
    model = MaskedTransformer(shape, LAYOUT).eval().requires_grad_(False)
    checkpoint.load_module(tmp_path, "transformer", model)

    codes = {
        "image": cache.image.codes[:PAIRS].astype(np.int32),
        "audio": cache.audio.codes[:PAIRS].astype(np.int32),
    }
    greedy = Sampling(steps=3, temperature=0.0, guidance_scale=1.0)
    for target, grid in LAYOUT.grids.items():
        seen = model.context(torch.from_numpy(codes[OTHER[target]]).long(), OTHER[target])

        def logits_of(tokens: IntArray, has_context: bool) -> FloatArray:
            assert has_context
            return model.logits(torch.from_numpy(tokens).long(), target, seen).numpy()  # noqa: B023

        tokens = np.full_like(codes[target], grid.mask_token)
        plan = make_plan(tokens == grid.mask_token, grid.order, greedy)
        noise = np.full(tokens.shape, 0.5, dtype=np.float32)
        decoded = decode(logits_of, tokens, plan, noise, has_context=True)
        np.testing.assert_array_equal(decoded, codes[target])
