from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echoes_rt.decode import reference, stepwise
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import DecodePlan, make_plan
from echoes_rt.errors import BundleError, CancelledError
from echoes_rt.spec.sampling import SamplingDefaults

LogitsFn = Callable[[NDArray[np.int32]], NDArray[np.float32]]

N_TOKENS, VOCAB_SIZE, MASK_TOKEN_ID = 20, 12, 12
SMALL_CODEBOOK = 5
"""The first eight positions belong to a medium with fewer codes."""


class MockSession:
    device = "cpu"

    def __init__(self, logits_fn: LogitsFn) -> None:
        self.logits_fn = logits_fn
        self.batches: list[int] = []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.batches.append(len(inputs["tokens"]))
        return {"logits": self.logits_fn(inputs["tokens"])}


def mock_logits(tokens: NDArray[np.int32], vocab_size: int) -> NDArray[np.float32]:
    """The formula of the golden traces, docs/manifest.md."""
    position = np.arange(tokens.shape[1])[None, :, None]
    code = np.arange(vocab_size)[None, None, :]
    context = (tokens * (2 * np.arange(tokens.shape[1]) + 1)).sum(axis=1)[:, None, None]
    return ((7 * position + 5 * code + 3 * position * code + context) % 9 - 4).astype(np.float32)


def rough_logits(tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """Real-valued logits that depend on all tokens of a member, the same in any batch."""
    table = np.random.default_rng(0).normal(0, 3, (97, VOCAB_SIZE)).astype(np.float32)
    context = (tokens * (2 * np.arange(tokens.shape[1]) + 1)).sum(axis=1)
    logits = table[(31 * np.arange(tokens.shape[1]) + context[:, None]) % 97]
    logits[:, :8, SMALL_CODEBOOK:] = -np.inf
    return logits


def plan_of(data: dict[str, Any]) -> DecodePlan:
    return DecodePlan(
        keep=np.array(data["keep"], dtype=np.int32),
        **{
            name: np.array(data[name], dtype=np.float32)
            for name in ("temperature", "choice_temperature", "guidance_scale")
        },
    )


@pytest.mark.parametrize("body", ["reference", "stepwise"])
def test_traces_match_the_golden_file(body: str, golden: Callable[[str], Any]) -> None:
    data = golden("decode")

    def logits_fn(tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        return mock_logits(tokens, data["vocab_size"])

    for trace in data["traces"]:
        tokens = np.array(trace["tokens"], dtype=np.int32)
        plan = plan_of(trace["plan"])
        arguments: Any = (
            tokens,
            tokens == trace["mask_token_id"],
            plan,
            uniforms(trace["seeds"], plan.steps, tokens.shape[1]),
        )
        options: Any = {
            "condition": np.array(trace["condition"], dtype=bool),
            "mask_token_id": trace["mask_token_id"],
        }
        if body == "reference":
            decoded = reference.decode(logits_fn, *arguments, **options)
        else:
            decoded = stepwise.decode(MockSession(logits_fn), *arguments, **options)
        assert decoded.tolist() == trace["decoded"]


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    n_members = draw(st.integers(1, 4))
    rows = st.lists(st.booleans(), min_size=N_TOKENS, max_size=N_TOKENS)
    mask = np.array(draw(st.lists(rows, min_size=n_members, max_size=n_members)))
    condition = np.array(draw(st.lists(rows, min_size=n_members, max_size=n_members)))
    tokens = np.random.default_rng(draw(st.integers(0, 99))).integers(
        0, SMALL_CODEBOOK, mask.shape, dtype=np.int32
    )
    sampling = SamplingDefaults(
        steps=draw(st.integers(1, N_TOKENS)),
        guidance_scale=draw(st.sampled_from([0.0, 1.0, 2.5, 100.0])),
        temperature=draw(st.sampled_from([0.0, 1e-30, 0.4, 1.0, 3.0])),
        choice_temperature=draw(st.sampled_from([0.0, 1.0, 4.5])),
    )
    seeds = st.integers(0, 2**64 - 1)
    return {
        "tokens": tokens,
        "mask": mask,
        "plan": make_plan(mask, sampling),
        "uniforms": uniforms(
            draw(st.lists(seeds, min_size=n_members, max_size=n_members)), sampling.steps, N_TOKENS
        ),
        "condition": condition & ~mask,
        "mask_token_id": MASK_TOKEN_ID,
    }


@settings(max_examples=60, deadline=None)
@given(questions())
def test_host_loop_equals_the_reference_token_for_token(question: dict[str, Any]) -> None:
    expected = reference.decode(rough_logits, **question)
    decoded = stepwise.decode(MockSession(rough_logits), **question)
    np.testing.assert_array_equal(decoded, expected)


@settings(max_examples=30, deadline=None)
@given(questions())
def test_known_tokens_stay_and_no_mask_is_left(question: dict[str, Any]) -> None:
    decoded = stepwise.decode(MockSession(rough_logits), **question)
    mask = question["mask"]
    np.testing.assert_array_equal(decoded[~mask], question["tokens"][~mask])
    assert (decoded < MASK_TOKEN_ID).all()
    assert (decoded[:, :8] < SMALL_CODEBOOK).all()


@settings(max_examples=20, deadline=None)
@given(questions())
def test_member_does_not_depend_on_its_neighbours(question: dict[str, Any]) -> None:
    together = stepwise.decode(MockSession(rough_logits), **question)
    plan = question["plan"]
    for member in range(len(together)):
        one = slice(member, member + 1)
        alone = stepwise.decode(
            MockSession(rough_logits),
            question["tokens"][one],
            question["mask"][one],
            DecodePlan(
                keep=plan.keep[:, one],
                temperature=plan.temperature,
                choice_temperature=plan.choice_temperature,
                guidance_scale=plan.guidance_scale,
            ),
            question["uniforms"][:, :, one],
            condition=question["condition"][one],
            mask_token_id=MASK_TOKEN_ID,
        )
        np.testing.assert_array_equal(together[one], alone)


def ask(guidance_scale: float = 3.0, **changes: Any) -> dict[str, Any]:
    mask = np.arange(N_TOKENS)[None] >= 8
    sampling = SamplingDefaults(steps=4, guidance_scale=guidance_scale)
    return {
        "tokens": np.zeros((1, N_TOKENS), dtype=np.int32),
        "mask": mask,
        "plan": make_plan(mask, sampling),
        "uniforms": uniforms([5], 4, N_TOKENS),
        "condition": ~mask,
        "mask_token_id": MASK_TOKEN_ID,
        **changes,
    }


def test_guidance_runs_both_branches_in_one_batch() -> None:
    session = MockSession(rough_logits)
    stepwise.decode(session, **ask())
    assert session.batches == [2] * 4


@pytest.mark.parametrize(
    "question",
    [ask(guidance_scale=1.0), ask(condition=np.zeros((1, N_TOKENS), dtype=bool))],
    ids=["scale 1", "no condition"],
)
def test_no_guidance_needs_no_second_branch(question: dict[str, Any]) -> None:
    session = MockSession(rough_logits)
    stepwise.decode(session, **question)
    assert session.batches == [1] * 4


def test_nothing_unknown_calls_no_graph() -> None:
    session = MockSession(rough_logits)
    mask = np.zeros((1, N_TOKENS), dtype=bool)
    decoded = stepwise.decode(
        session, **ask(mask=mask, plan=make_plan(mask, SamplingDefaults(steps=4)))
    )
    assert session.batches == []
    assert (decoded == 0).all()


def test_inputs_are_left_as_they_were() -> None:
    question = ask()
    before = {name: question[name].copy() for name in ("tokens", "mask", "condition")}
    stepwise.decode(MockSession(rough_logits), **question)
    for name, value in before.items():
        np.testing.assert_array_equal(question[name], value)


def test_callback_sees_every_step() -> None:
    seen: list[tuple[int, int]] = []
    question = ask()
    stepwise.decode(MockSession(rough_logits), **question, on_step=lambda *step: seen.append(step))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_callback_can_cancel() -> None:
    session = MockSession(rough_logits)
    with pytest.raises(CancelledError, match="cancelled after step 2 of 4"):
        stepwise.decode(session, **ask(), on_step=lambda step, _: step < 1)
    assert len(session.batches) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_numbers_are_an_error(value: float) -> None:
    def logits(tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        made = rough_logits(tokens)
        made[-1, -1, 0] = value
        return made

    with pytest.raises(BundleError, match="the step graph gave logits that are not numbers"):
        stepwise.decode(MockSession(logits), **ask(guidance_scale=1.0))


def test_temperature_zero_takes_the_likeliest_token() -> None:
    logits = np.array([0.0, 3.0, 3.0, -np.inf], dtype=np.float32)
    token, log_prob = reference.draw(logits, np.float32(0), np.float32(0.99))
    assert token == 1
    assert log_prob == pytest.approx(np.log(np.exp(3) / (1 + 2 * np.exp(3))), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_drawn_frequencies_follow_the_softmax(temperature: float) -> None:
    logits = np.array([0.0, 1.0, 2.0, -np.inf, 0.5], dtype=np.float32)
    noise = uniforms([11], 1, 20_000)[0, 0, 0]
    drawn, _ = stepwise._draw(
        np.maximum(np.tile(logits, (len(noise), 1)), reference.LOGIT_FLOOR),
        np.float32(temperature),
        noise,
    )
    weights = np.exp(logits / temperature)
    frequencies = np.bincount(drawn, minlength=5) / len(noise)
    np.testing.assert_allclose(frequencies, weights / weights.sum(), atol=0.015)
    assert frequencies[3] == 0


def test_of_equals_the_first_is_masked_again() -> None:
    """All confidences are equal, so the unknown are fixed from the last to the first."""
    seen: list[list[bool]] = []

    def flat_logits(tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        seen.append((tokens[0] == 4).tolist())
        return np.zeros((*tokens.shape, 4), dtype=np.float32)

    mask = np.ones((1, 6), dtype=bool)
    plan = make_plan(mask, SamplingDefaults(steps=3, guidance_scale=1.0, choice_temperature=0.0))
    assert plan.keep[:, 0].tolist() == [5, 3, 0]
    stepwise.decode(
        MockSession(flat_logits),
        np.zeros((1, 6), dtype=np.int32),
        mask,
        plan,
        uniforms([0], 3, 6),
        condition=~mask,
        mask_token_id=4,
    )
    assert seen == [[True] * 6, [True] * 5 + [False], [True] * 3 + [False] * 3]
