"""The numpy reference, the host's loop and the fused graph give the same tokens."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echoes_rt import Echoes
from echoes_rt.backends.base import Session
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.decode import fused, reference, stepwise
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import DecodePlan, known_media, make_plan
from echoes_rt.spec.sampling import SamplingDefaults

SEEDS = 100


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture(scope="module")
def session(bundle: Bundle) -> Any:
    def load(name: str) -> Session:
        signature = bundle.manifest.graphs[name].signature
        return OnnxSession(bundle.graph_path(name), signature, "cpu", threads=1)

    return {name: load(name) for name in ("step", "decode", "image_to_audio")}


def ask(bundle: Bundle, seed: int, n_members: int = 3) -> dict[str, Any]:
    """A question whose members know different shares of both media, and a plan of any kind."""
    layout = bundle.manifest.tokens
    rng = np.random.default_rng(seed)
    sizes = [layout.image.codebook_size] * layout.image.n_tokens
    sizes += [layout.audio.codebook_size] * layout.audio.n_tokens
    tokens = rng.integers(0, sizes, (n_members, layout.n_tokens), dtype=np.int32)
    mask = rng.random(tokens.shape) < rng.random((n_members, 1))
    for member, known in enumerate(rng.integers(0, 4, n_members)):
        mask[member, [layout.image_slice, layout.audio_slice, slice(0), slice(0)][known]] = False
    sampling = SamplingDefaults(
        steps=int(rng.integers(1, 9)),
        guidance_scale=float(rng.choice([1.0, 2.0, 5.0])),
        temperature=float(rng.choice([0.0, 0.7, 1.0])),
        choice_temperature=float(rng.choice([0.0, 4.5])),
        guidance_interval=(0.0, float(rng.choice([0.5, 1.0]))),
    )
    return {
        "tokens": tokens,
        "mask": mask,
        "plan": make_plan(mask, sampling),
        "uniforms": uniforms(range(seed, seed + n_members), sampling.steps, layout.n_tokens),
        "condition": known_media(mask, layout),
    }


def test_three_bodies_give_the_same_tokens(bundle: Bundle, session: Any) -> None:
    mask_token_id = bundle.manifest.tokens.mask_token_id

    def logits(tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.asarray(session["step"].run({"tokens": tokens})["logits"])

    for seed in range(SEEDS):
        question = ask(bundle, seed)
        expected = reference.decode(logits, **question, mask_token_id=mask_token_id)
        host = stepwise.decode(session["step"], **question, mask_token_id=mask_token_id)
        decoded = fused.decode(session["decode"], **question)
        np.testing.assert_array_equal(host, expected, err_msg=f"seed {seed}")
        np.testing.assert_array_equal(decoded, expected, err_msg=f"seed {seed}")
        known = ~question["mask"]
        np.testing.assert_array_equal(decoded[known], question["tokens"][known])
        assert (decoded < mask_token_id).all()


def test_nothing_unknown_changes_nothing(bundle: Bundle, session: Any) -> None:
    question = ask(bundle, 0)
    question |= {"mask": np.zeros_like(question["mask"])}
    decoded = fused.decode(session["decode"], **question)
    np.testing.assert_array_equal(decoded, question["tokens"])


def test_plan_that_keeps_masks_leaves_them(bundle: Bundle, session: Any) -> None:
    """The first half of a plan is the state after half of the steps."""
    question = ask(bundle, 4)
    plan: DecodePlan = question["plan"]
    half = {name: values[: plan.steps // 2] for name, values in vars(plan).items()}
    question |= {"plan": DecodePlan(**half), "uniforms": question["uniforms"][: plan.steps // 2]}
    mask_token_id = bundle.manifest.tokens.mask_token_id
    decoded = fused.decode(session["decode"], **question)
    host = stepwise.decode(session["step"], **question, mask_token_id=mask_token_id)
    np.testing.assert_array_equal(decoded, host)
    assert (decoded == mask_token_id).any()


def test_member_does_not_depend_on_its_neighbours(bundle: Bundle, session: Any) -> None:
    question = ask(bundle, 7)
    together = fused.decode(session["decode"], **question)
    plan: DecodePlan = question["plan"]
    for member in range(len(together)):
        one = slice(member, member + 1)
        alone = {name: question[name][one] for name in ("tokens", "mask", "condition")}
        alone["plan"] = dataclasses.replace(plan, keep=plan.keep[:, one])
        alone["uniforms"] = question["uniforms"][:, :, one]
        np.testing.assert_array_equal(together[one], fused.decode(session["decode"], **alone))


def test_one_call_makes_the_sound_of_a_picture(tiny_bundle: Path, session: Any) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    layout, sampling = echoes.manifest.tokens, echoes.manifest.sampling
    spec = echoes.manifest.image
    images = np.random.default_rng(0).normal(size=(2, 3, spec.height, spec.width))
    mask = np.zeros((2, layout.n_tokens), dtype=bool)
    mask[:, layout.audio_slice] = True
    noise = uniforms([5, 6], sampling.steps, layout.n_tokens)
    samples, codes = fused.image_to_audio(
        session["image_to_audio"], images.astype(np.float32), make_plan(mask, sampling), noise
    )
    encoder = OnnxSession(
        echoes.bundle.graph_path("image_encoder"),
        echoes.manifest.graphs["image_encoder"].signature,
        "cpu",
    )
    known = encoder.run({"image": images.astype(np.float32)})["codes"]
    tokens = np.concatenate([known, np.zeros_like(codes)], axis=1)
    expected = echoes.decode_tokens(tokens, mask, seeds=[5, 6], sampling=sampling)
    np.testing.assert_array_equal(codes, expected[:, layout.audio_slice])
    waveform = echoes.vocode(echoes.decode_mel(codes))
    np.testing.assert_allclose(samples, waveform, atol=1e-5)


def test_callback_takes_the_hosts_loop(tiny_bundle: Path, picture: Path) -> None:
    """A callback, like a bundle without the fused graphs, costs time and changes nothing."""
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    assert (echoes.loop_graph(), echoes.loop_graph(lambda *_: None)) == ("decode", "step")
    steps: list[int] = []
    heard = echoes.generate(picture, seed=1, on_step=lambda step, _: steps.append(step))
    np.testing.assert_array_equal(heard.codes, echoes.generate(picture, seed=1).codes)
    assert steps == list(range(echoes.manifest.sampling.steps))


def test_bundle_without_fused_graphs_serves_too(tiny_bundle: Path, picture: Path) -> None:
    whole = Bundle.open(tiny_bundle)
    graphs = {
        name: entry
        for name, entry in whole.manifest.graphs.items()
        if name not in ("decode", "image_to_audio")
    }
    older = dataclasses.replace(whole, manifest=dataclasses.replace(whole.manifest, graphs=graphs))
    assert Echoes.load(older, device="cpu").loop_graph() == "step"
    codes = [
        Echoes.load(bundle, device="cpu", threads=1).generate(picture, seed=2).codes
        for bundle in (whole, older)
    ]
    np.testing.assert_array_equal(*codes)
