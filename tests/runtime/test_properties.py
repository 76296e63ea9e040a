"""What holds for every question, whatever the model answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echoes_rt.decode import reference, stepwise
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import known_media, make_plan
from echoes_rt.spec.sampling import GUIDANCE_SCHEDULES, Sampling
from echoes_rt.spec.tokens import Grid, TokenLayout

LAYOUT = TokenLayout(
    image=Grid(height=2, width=3, codebook_size=11), audio=Grid(height=2, width=4, codebook_size=7)
)


class Oracle:
    """Logits that depend on all tokens and on the position, and on nothing else."""

    device = "cpu"

    def __init__(self, salt: int) -> None:
        rng = np.random.default_rng(salt)
        shape = (LAYOUT.n_tokens, LAYOUT.vocab_size)
        self.bias = rng.normal(0, 2, shape).astype(np.float32)
        self.mixing = rng.normal(0, 1, (LAYOUT.mask_token_id + 1, LAYOUT.vocab_size))
        self.bias[LAYOUT.audio_slice, LAYOUT.audio.codebook_size :] = -np.inf

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        tokens = inputs["tokens"]
        heard = self.mixing[tokens].sum(axis=1, keepdims=True)
        return {"logits": (self.bias + np.sin(heard)).astype(np.float32)}


@st.composite
def questions(draw: st.DrawFn) -> tuple[NDArray[np.int32], NDArray[np.bool_], Sampling]:
    """Any mix of known counts in one batch, from all known to nothing."""
    members = draw(st.integers(1, 4))
    bits = draw(st.lists(st.booleans(), min_size=14 * members, max_size=14 * members))
    mask = np.array(bits).reshape(members, LAYOUT.n_tokens)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    tokens = rng.integers(0, LAYOUT.audio.codebook_size, mask.shape).astype(np.int32)
    start, stop = sorted((draw(st.floats(0, 1)), draw(st.floats(0, 1))))
    sampling = Sampling(
        steps=draw(st.integers(1, 14)),
        guidance_scale=draw(st.sampled_from([0.0, 1.0, 2.5, 8.0])),
        temperature=draw(st.sampled_from([0.0, 0.3, 1.0, 3.0])),
        choice_temperature=draw(st.sampled_from([0.0, 4.5])),
        guidance_schedule=draw(st.sampled_from(GUIDANCE_SCHEDULES)),
        guidance_interval=(start, stop),
    )
    return tokens, mask, sampling


@given(questions(), st.integers(0, 2**64 - 5), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_known_tokens_stay_and_no_mask_is_left(
    question: tuple[NDArray[np.int32], NDArray[np.bool_], Sampling], seed: int, salt: int
) -> None:
    tokens, mask, sampling = question
    seeds = [seed + i for i in range(len(tokens))]
    oracle = Oracle(salt)
    shared: dict[str, Any] = {
        "condition": known_media(mask, LAYOUT),
        "mask_token_id": LAYOUT.mask_token_id,
    }
    noise = uniforms(seeds, sampling.steps, LAYOUT.n_tokens)
    decoded = stepwise.decode(oracle, tokens, mask, make_plan(mask, sampling), noise, **shared)
    np.testing.assert_array_equal(decoded[~mask], tokens[~mask])
    assert (decoded[:, LAYOUT.image_slice] < LAYOUT.image.codebook_size).all()
    assert (decoded[:, LAYOUT.audio_slice] < LAYOUT.audio.codebook_size).all()
    assert (decoded >= 0).all()
    expected = reference.decode(
        lambda tokens: oracle.run({"tokens": tokens})["logits"],
        tokens,
        mask,
        make_plan(mask, sampling),
        noise,
        **shared,
    )
    np.testing.assert_array_equal(decoded, expected)


@given(questions(), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_members_of_a_batch_do_not_see_each_other(
    question: tuple[NDArray[np.int32], NDArray[np.bool_], Sampling], seed: int
) -> None:
    tokens, mask, sampling = question
    seeds = [seed + i for i in range(len(tokens))]

    def decode(part: slice) -> NDArray[np.int32]:
        return stepwise.decode(
            Oracle(1),
            tokens[part],
            mask[part],
            make_plan(mask[part], sampling),
            uniforms(seeds[part], sampling.steps, LAYOUT.n_tokens),
            condition=known_media(mask[part], LAYOUT),
            mask_token_id=LAYOUT.mask_token_id,
        )

    together = decode(slice(None))
    for i in range(len(tokens)):
        np.testing.assert_array_equal(decode(slice(i, i + 1)), together[i : i + 1])
