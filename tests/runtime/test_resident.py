"""``decode_step`` on fixed buffers, on the CPU: what differs on a GPU is where they lie."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echoes_rt.backends import bound
from echoes_rt.backends.bound import BoundStep
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.decode import reference, resident
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import known_media, make_plan
from echoes_rt.errors import BackendError, CancelledError
from echoes_rt.spec.manifest import Manifest
from echoes_rt.spec.sampling import SamplingDefaults


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> Manifest:
    return Manifest.read(tiny_bundle / "manifest.json")


@pytest.fixture
def step(tiny_bundle: Path, manifest: Manifest) -> BoundStep:
    signature = manifest.graphs["decode_step"].signature
    return BoundStep(tiny_bundle / "decode_step.onnx", signature, "cpu")


@pytest.fixture(scope="module")
def logits(tiny_bundle: Path, manifest: Manifest) -> Callable[[np.ndarray], np.ndarray]:
    session = OnnxSession(tiny_bundle / "step.onnx", manifest.graphs["step"].signature, "cpu")
    return lambda tokens: session.run({"tokens": tokens})["logits"]


def question(manifest: Manifest, members: int) -> tuple[np.ndarray, np.ndarray]:
    """Sound unknown, picture unknown, a share of everything unknown, in turns."""
    layout = manifest.tokens
    rng = np.random.default_rng(members)
    tokens = rng.integers(0, 16, (members, layout.n_tokens), dtype=np.int32)
    mask = rng.random(tokens.shape) < 0.4
    mask[0::3] = False
    mask[0::3, layout.audio_slice] = True
    mask[1::3] = False
    mask[1::3, layout.image_slice] = True
    return tokens, mask


@pytest.mark.parametrize(
    "dials",
    [
        {},
        {"guidance_scale": 1.0},
        {"guidance_interval": (0.25, 0.75)},
        {"guidance_schedule": "annealed"},
        {"temperature": 0.0},
        {"temperature": 0.5, "choice_temperature": 0.0},
        {"steps": 1},
        {"steps": 7},
    ],
)
def test_tokens_are_those_of_the_reference(
    dials: dict[str, Any],
    step: BoundStep,
    manifest: Manifest,
    logits: Callable[[np.ndarray], np.ndarray],
) -> None:
    layout = manifest.tokens
    sampling = SamplingDefaults(**({"steps": 4, "guidance_scale": 3.0} | dials))
    for members in (1, 3, 1):
        tokens, mask = question(manifest, members)
        plan = make_plan(mask, sampling)
        noise = uniforms(range(members), sampling.steps, layout.n_tokens)
        asked = (tokens, mask, plan, noise)
        known = {"condition": known_media(mask, layout), "mask_token_id": layout.mask_token_id}
        expected = reference.decode(logits, *asked, **known)
        np.testing.assert_array_equal(resident.decode(step, *asked, **known), expected)


def test_cancelling_leaves_the_buffers_to_the_next(step: BoundStep, manifest: Manifest) -> None:
    layout = manifest.tokens
    tokens, mask = question(manifest, 1)
    plan = make_plan(mask, SamplingDefaults(steps=4))
    asked = (tokens, mask, plan, uniforms([1], 4, layout.n_tokens))
    known: dict[str, Any] = {"condition": ~mask, "mask_token_id": layout.mask_token_id}
    first = resident.decode(step, *asked, **known)
    with pytest.raises(CancelledError, match="after step 2 of 4"):
        resident.decode(step, *asked, **known, on_step=lambda index, _: index < 1)
    np.testing.assert_array_equal(resident.decode(step, *asked, **known), first)


def test_every_binding_has_its_own_recorded_graph_and_no_address_changes(
    step: BoundStep, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CUDA replays must be found again by its number and lie where it lay."""
    session, runs = step._session, []

    def run(binding: Any, options: Any) -> None:
        runs.append((id(binding), options.get_run_config_entry("gpu_graph_id")))
        session.run_with_iobinding(binding)

    fake = SimpleNamespace(run_with_iobinding=run, io_binding=session.io_binding)
    monkeypatch.setattr(step, "_session", fake)
    monkeypatch.setattr(step, "_is_recording", True)
    layout = manifest.tokens
    sampling = SamplingDefaults(steps=6, guidance_interval=(0.0, 0.5))
    places = []
    for members in (1, 2, 1):
        tokens, mask = question(manifest, members)
        plan = make_plan(mask, sampling)
        noise = uniforms(range(members), 6, layout.n_tokens)
        resident.decode(
            step, tokens, mask, plan, noise, condition=~mask, mask_token_id=layout.mask_token_id
        )
        places.append({name: v.data_ptr() for name, v in step._buffers[members].items()})
    assert places[0] == places[2]
    # Two turns, with guidance and without, for one member and for two.
    assert {number for _, number in runs} == {str(i) for i in range(1, 9)}
    assert len(set(runs)) == 8


def test_cuda_asks_for_graphs_and_does_without_where_they_are_refused(
    tiny_bundle: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []

    def open_graph(path: Path, signature: Any, device: str, dials: Any) -> str:
        asked.append(dials.provider)
        if "enable_cuda_graph" in dials.provider:
            raise BackendError("This session cannot use the graph capture feature")
        return "session"

    monkeypatch.setattr(bound, "open_graph", open_graph)
    signature = manifest.graphs["decode_step"].signature
    step = BoundStep(tiny_bundle / "decode_step.onnx", signature, "cuda:0")
    assert asked == [{"enable_cuda_graph": "1"}, {}]
    assert (step.device, step._is_recording) == ("cuda:0", False)
