"""The base transformer, shrunk, can learn pairs by heart in both directions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.runs import random_tokens

from echoes_rt.decode.plan import FloatArray, IntArray, make_plan
from echoes_rt.decode.reference import decode
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import OTHER, Grid, TokenLayout
from echoes_training import checkpoint
from echoes_training.models.transformer import MaskedTransformer, TransformerConfig
from echoes_training.presets import PRESETS
from echoes_training.stages.transformer import train_transformer

PAIRS = 16
CODES = 32
LAYOUT = TokenLayout(
    image=Grid(height=3, width=3, codebook_size=CODES),
    audio=Grid(height=2, width=5, codebook_size=CODES),
)


@pytest.mark.parametrize("form", ["context", "joint"])
def test_greedy_decoding_returns_the_pairs_that_were_trained_on(form: str, tmp_path: Path) -> None:
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
    shape = TransformerConfig(width=48, layers=2, heads=4, form=form)
    config = replace(base, loop=loop, model=shape, layout=LAYOUT, unpaired=0.0)
    cache = random_tokens(LAYOUT, PAIRS, CODES, are_alike=True)
    train_transformer(tmp_path, cache, config)
    model = MaskedTransformer(shape, LAYOUT).eval().requires_grad_(False)
    checkpoint.load_module(tmp_path, "transformer", model)

    codes = {
        "image": cache.image.codes[::2].astype(np.int32),
        "audio": cache.audio.codes[::2].astype(np.int32),
    }
    parts = {"image": LAYOUT.image_slice, "audio": LAYOUT.audio_slice}
    greedy = Sampling(steps=3, temperature=0.0, guidance_scale=1.0)
    for target, grid in LAYOUT.grids.items():

        def logits_of(tokens: IntArray, has_context: bool, target: str = target) -> FloatArray:
            assert has_context
            asked = {name: torch.from_numpy(known).long() for name, known in codes.items()}
            asked[target] = torch.from_numpy(tokens).long()
            if form == "context":
                seen = model.context(asked[OTHER[target]], OTHER[target])
                return model.logits(asked[target], target, seen).numpy()
            whole = torch.cat([asked["image"], asked["audio"]], dim=1)
            return model(whole)[:, parts[target]].numpy()

        tokens = np.full_like(codes[target], grid.mask_token)
        plan = make_plan(tokens == grid.mask_token, grid.order, greedy)
        noise = np.full(tokens.shape, 0.5, dtype=np.float32)
        decoded = decode(logits_of, tokens, plan, noise, has_context=True)
        np.testing.assert_array_equal(decoded, codes[target])
