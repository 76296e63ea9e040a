"""Both graphs that decode, however they are run, draw the tokens of the numpy reference."""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echoes_rt import Echoes
from echoes_rt.decode import reference, steps
from echoes_rt.decode.noise import MEL_STREAM, uniforms
from echoes_rt.decode.plan import make_plan
from echoes_rt.errors import BackendError, CancelledError, InputError
from echoes_rt.format.graphs import TensorSpec
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import MEDIA, OTHER
from echoes_rt.nvidia import bound
from echoes_rt.nvidia.bound import BoundStep

SEEDS = 25


@pytest.fixture
def step(tiny_bundle: Path) -> BoundStep:
    """On fixed buffers, on the CPU: what differs on a GPU is where they lie."""
    return BoundStep(tiny_bundle / "decode_audio_step.onnx", "cpu")


def ask(echoes: Echoes, target: str, seed: int, members: int = 3) -> dict[str, Any]:
    """A question whose members know different shares of the target, and a plan of any kind."""
    grid, other = (echoes.manifest.tokens.grids[medium] for medium in (target, OTHER[target]))
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, grid.codebook_size, (members, grid.n_tokens), dtype=np.int32)
    share = rng.choice([0.0, 0.3, 0.8, 1.0], (members, 1))
    tokens[rng.random(tokens.shape) < share] = grid.mask_token
    sampling = Sampling(
        steps=int(rng.integers(1, 9)),
        guidance_scale=float(rng.choice([0.0, 1.0, 2.0, 5.0])),
        temperature=float(rng.choice([0.0, 1e-30, 0.7, 1.0])),
        guidance_interval=(0.0, float(rng.choice([0.5, 1.0]))),
    )
    codes = rng.integers(0, other.codebook_size, (members, other.n_tokens), dtype=np.int32)
    return {
        "tokens": tokens,
        "context": None if seed % 3 == 0 else codes,
        "plan": make_plan(tokens == grid.mask_token, grid.order, sampling),
        "uniforms": uniforms(range(seed, seed + members), 0, grid.n_tokens),
    }


def whole(echoes: Echoes, members: int, n_steps: int) -> dict[str, Any]:
    """A question of which nothing is known, whose second half has no guidance."""
    grid = echoes.manifest.tokens.audio
    question = ask(echoes, "audio", 1, members)
    question["tokens"][:] = grid.mask_token
    sampling = Sampling(steps=n_steps, guidance_interval=(0.0, 0.5))
    question["plan"] = make_plan(question["tokens"] == grid.mask_token, grid.order, sampling)
    return question


def expected(echoes: Echoes, target: str, question: dict[str, Any]) -> NDArray[np.int32]:
    context = question["context"]

    def logits_of(tokens: NDArray[np.int32], has_context: bool) -> NDArray[np.float32]:
        return echoes.logits(target, tokens, context if has_context else None)

    return reference.decode(
        logits_of,
        question["tokens"],
        question["plan"],
        question["uniforms"],
        has_context=context is not None,
    )


def run(
    decode: Callable[..., NDArray[np.int32]],
    session: Any,
    echoes: Echoes,
    target: str,
    question: dict[str, Any],
    **more: Any,
) -> NDArray[np.int32]:
    seen = echoes.context(target, question["context"])
    plan, noise = question["plan"], question["uniforms"]
    return decode(session, question["tokens"], seen, plan, noise, **more)


@pytest.mark.parametrize("target", MEDIA)
def test_every_way_draws_the_same_tokens(target: str, echoes: Echoes, tiny_bundle: Path) -> None:
    ways: dict[str, tuple[Any, Any]] = {
        "steps": (steps.decode, echoes.session(f"decode_{target}_step")),
        "fixed buffers": (
            steps.decode,
            BoundStep(tiny_bundle / f"decode_{target}_step.onnx", "cpu"),
        ),
        "one call": (steps.decode_at_once, echoes.session(f"decode_{target}")),
    }
    for seed in range(SEEDS):
        question = ask(echoes, target, seed)
        wanted = expected(echoes, target, question)
        given = question["tokens"].copy()
        known = given != echoes.manifest.tokens.grids[target].mask_token
        np.testing.assert_array_equal(wanted[known], given[known])
        for name, (decode, session) in ways.items():
            decoded = run(decode, session, echoes, target, question)
            np.testing.assert_array_equal(decoded, wanted, err_msg=f"{name}, seed {seed}")
            np.testing.assert_array_equal(question["tokens"], given)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((1, 7), dtype=np.int32),
        np.zeros(8, dtype=np.int32),
        np.zeros((2, 8), dtype=np.int32),
        np.zeros((1, 8), dtype=np.int64),
        np.full((1, 8), 33, dtype=np.int32),
        np.full((1, 8), -1, dtype=np.int32),
    ],
    ids=["too few", "no batch", "two members", "int64", "no code", "negative"],
)
def test_codes_that_are_none_are_refused(codes: NDArray[Any], echoes: Echoes) -> None:
    with pytest.raises(InputError, match="codes must be"):
        echoes.decode_tokens("audio", codes, seeds=[0])
    is_one_too_many = len(codes) == 2  # seeds are given for one
    for decode in (echoes.decode_audio, echoes.decode_image) if not is_one_too_many else ():
        with pytest.raises(InputError, match="codes must be"):
            decode(codes)


def test_a_context_may_not_hold_the_mask_token(echoes: Echoes) -> None:
    layout = echoes.manifest.tokens
    tokens = np.zeros((1, layout.audio.n_tokens), dtype=np.int32)
    context = np.full((1, layout.image.n_tokens), layout.image.mask_token, dtype=np.int32)
    with pytest.raises(InputError, match="codes must be"):
        echoes.decode_tokens("audio", tokens, context, seeds=[0])


def test_a_mel_decoder_that_takes_noise_gets_that_of_its_seed_and_window(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[NDArray[np.float32]] = []

    def note(inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        asked.append(inputs["noise"])
        return {"mel": np.zeros((len(inputs["codes"]), 16, 32), np.float32)}

    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    spec = TensorSpec(dtype="float32", shape=("batch", 2, 5))
    session = SimpleNamespace(inputs={"noise": spec}, run=note)
    monkeypatch.setattr(echoes, "session", lambda _: session)
    codes = np.zeros((2, 8), dtype=np.int32)
    for seeds, window in (([3, 4], 0), ([3, 9], 0), ([3, 4], 1)):
        echoes.decode_mel(codes, seeds=seeds, window=window)
    np.testing.assert_array_equal(asked[0][0].ravel(), uniforms([3], MEL_STREAM, 10)[0])
    np.testing.assert_array_equal(asked[2][1].ravel(), uniforms([4], MEL_STREAM + 1, 10)[0])
    np.testing.assert_array_equal(asked[0][0], asked[1][0])
    assert (asked[0] != asked[2]).all()
    assert (asked[0][1] != uniforms([4], 0, 10)[0].reshape(2, 5)).all()


def test_callback_sees_every_step_and_can_cancel(echoes: Echoes, step: BoundStep) -> None:
    question = ask(echoes, "audio", 1)
    n_steps = question["plan"].steps
    for session in (echoes.session("decode_audio_step"), step):
        seen: list[tuple[int, int]] = []
        first = run(
            *(steps.decode, session, echoes, "audio", question),
            on_step=lambda *at, seen=seen: seen.append(at),
        )
        assert seen == [(i, n_steps) for i in range(n_steps)]
        with pytest.raises(CancelledError, match=f"after step 2 of {n_steps}"):
            run(
                *(steps.decode, session, echoes, "audio", question),
                on_step=lambda index, _: index < 1,
            )
        again = run(steps.decode, session, echoes, "audio", question)
        np.testing.assert_array_equal(again, first)


class Recorder:
    """A step's session on the CPU, of which CUDA would record graphs."""

    def __init__(self, session: Any) -> None:
        self.session, self.io_binding = session, session.io_binding
        self.runs: list[tuple[int, str]] = []
        self.fails_at = ""

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        number = options.get_run_config_entry("gpu_graph_id")
        self.runs.append((id(binding), number))
        if number == self.fails_at:
            raise RuntimeError("CUDA failure 900: operation not permitted\nwhile capturing")
        self.session.run_with_iobinding(binding)

    @property
    def numbers(self) -> list[str]:
        return [number for _, number in self.runs]


@pytest.fixture
def recorder(step: BoundStep, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(step._session)
    monkeypatch.setattr(step, "_session", recorder)
    monkeypatch.setattr(step, "_is_recording", True)
    return recorder


def test_every_binding_has_its_own_recorded_graph_and_no_address_changes(
    step: BoundStep, echoes: Echoes, recorder: Recorder
) -> None:
    """What CUDA replays must be found again by its number and lie where it lay."""
    for members in (1, 2, 1):
        run(steps.decode, step, echoes, "audio", whole(echoes, members, n_steps=6))
    assert recorder.numbers[:12] == [str(i) for i in range(1, 13)]
    assert recorder.runs[12:] == recorder.runs[:6]
    assert len({binding for binding, _ in recorder.runs}) == 12


def test_sizes_beyond_the_limit_are_not_recorded_and_leave_nothing(
    step: BoundStep, echoes: Echoes, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound, "MAX_GRAPHS", 5)
    for members, n_steps in ((1, 3), (2, 3), (1, 2), (2, 3)):
        question = whole(echoes, members, n_steps=n_steps)
        decoded = run(steps.decode, step, echoes, "audio", question)
        np.testing.assert_array_equal(decoded, expected(echoes, "audio", question))
    assert recorder.numbers == ["1", "2", "3", *["-1"] * 3, "4", "5", *["-1"] * 3]
    assert len(step._kept) == 2


def test_all_calls_come_from_one_thread(step: BoundStep, echoes: Echoes) -> None:
    """CUDA's recorded graphs are of the thread that recorded them."""
    threads = set()

    @contextmanager
    def note() -> Iterator[None]:
        threads.add(threading.get_ident())
        yield

    step.around = note
    question = ask(echoes, "audio", 1)
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(run, steps.decode, step, echoes, "audio", question) for _ in range(9)]
    for future in made:
        np.testing.assert_array_equal(future.result(), expected(echoes, "audio", question))
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_session_that_nobody_knows_ends_with_its_thread(tiny_bundle: Path) -> None:
    step = BoundStep(tiny_bundle / "decode_audio_step.onnx", "cpu")
    (thread,) = (t for t in threading.enumerate() if t.name == "decode_audio_step.onnx")
    del step
    gc.collect()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_a_recording_that_fails_is_told_and_the_decoding_goes_on(
    step: BoundStep, echoes: Echoes, recorder: Recorder, caplog: Any
) -> None:
    recorder.fails_at = "2"
    question = whole(echoes, 2, n_steps=4)
    for _ in range(2):
        decoded = run(steps.decode, step, echoes, "audio", question)
        np.testing.assert_array_equal(decoded, expected(echoes, "audio", question))
    assert step.unrecorded == "CUDA failure 900: operation not permitted"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_cuda_asks_for_graphs_and_does_without_where_they_are_refused(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []

    def open_graph(path: Path, device: str, dials: Any) -> Any:
        asked.append(dials.provider)
        if "enable_cuda_graph" in dials.provider:
            raise BackendError("This session cannot use the graph capture feature")
        return SimpleNamespace(get_inputs=list, get_outputs=list)

    monkeypatch.setattr(bound, "open_graph", open_graph)
    monkeypatch.setattr(bound, "count_on", lambda *_: 0)
    step = BoundStep(tiny_bundle / "decode_audio_step.onnx", "cuda:0")
    assert asked == [{"enable_cuda_graph": "1"}, {}]
    assert (step.device, step._is_recording) == ("cuda:0", False)
    assert step.unrecorded == "This session cannot use the graph capture feature"


def test_temperature_zero_takes_the_first_likeliest_token() -> None:
    logits = np.array([0.0, 3.0, 3.0, -np.inf], dtype=np.float32)
    assert reference.draw(logits, np.float32(0.99), temperature=np.float32(0)) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_drawn_frequencies_follow_the_softmax(temperature: float) -> None:
    logits = np.maximum(np.array([0.0, 1.0, 2.0, -np.inf, 0.5], np.float32), reference.LOGIT_FLOOR)
    noise = uniforms([11], 0, 5_000)[0]
    heat = np.float32(temperature)
    drawn = [reference.draw(logits, uniform, temperature=heat) for uniform in noise]
    weights = np.exp(logits / temperature)
    frequencies = np.bincount(drawn, minlength=5) / len(noise)
    np.testing.assert_allclose(frequencies, weights / weights.sum(), atol=0.03)
    assert frequencies[3] == 0
