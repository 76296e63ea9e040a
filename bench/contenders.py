"""Every engine that a person could use for the same task."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.models import Subject
from bench.sessions import OpenVINOSession, TorchSession, openvino_int8, openvino_model
from echoes_export.wrappers import graph_modules
from echoes_rt.backends.base import Session
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.decode import fused, stepwise
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import known_media, make_plan

PARTS = ("image_encoder", "mel_decoder", "vocoder")
CALIBRATION = 12
"""Questions by which nncf sets its scales."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One run. ``loop_ms`` is None where the loop cannot be told from the rest."""

    loop_ms: float | None
    total_ms: float
    codes: NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """``make`` loads it and gives what makes one sound."""

    name: str
    is_ours: bool
    make: Callable[[], Callable[[], Sound]]


def contenders(subject: Subject, threads: int) -> Iterator[Contender]:
    """All of them; those that this machine cannot run fail when they are made."""

    def torch_step(kind: str) -> Callable[[], Callable[[], Sound]]:
        return lambda: sound_maker(subject, _torch_sessions(subject, kind))

    def openvino(precision: str) -> Callable[[], Callable[[], Sound]]:
        return lambda: sound_maker(subject, _openvino_sessions(subject, precision, threads))

    def ours(bundle: Bundle, loop: str) -> Callable[[], Callable[[], Sound]]:
        return lambda: sound_maker(subject, _onnx_sessions(bundle, loop, threads))

    for name, make in {
        "torch eager fp32": torch_step("fp32"),
        "torch eager bf16": torch_step("bf16"),
        "torch.compile fp32": torch_step("compile"),
        "ONNX Runtime, host loop fp32": ours(subject.bundle, "step"),
        "OpenVINO, host loop f32": openvino("f32"),
        "OpenVINO, host loop bf16": openvino("bf16"),
        "OpenVINO, host loop int8 (nncf)": openvino("int8"),
    }.items():
        yield Contender(name=name, is_ours=False, make=make)
    for name, make in {
        "echoes-rt, fused fp32": ours(subject.bundle, "decode"),
        "echoes-rt, one call fp32": lambda: _one_call(subject, subject.bundle, threads),
        "echoes-rt, host loop int8": ours(subject.int8, "step"),
        "echoes-rt, fused int8": ours(subject.int8, "decode"),
        "echoes-rt, one call int8": lambda: _one_call(subject, subject.int8, threads),
        "OpenVINO, our fused graph f32": lambda: sound_maker(
            subject, _openvino_fused(subject, threads)
        ),
    }.items():
        yield Contender(name=name, is_ours=True, make=make)


def sound_maker(subject: Subject, sessions: dict[str, Session]) -> Callable[[], Sound]:
    """Makes the sound of the picture with sessions of the parts and of one loop."""
    layout, sampling = subject.models.layout, subject.sampling
    picture = subject.picture

    def run() -> Sound:
        start = time.perf_counter()
        image = sessions["image_encoder"].run({"image": picture})["codes"]
        tokens = np.full((1, layout.n_tokens), layout.mask_token_id, dtype=np.int32)
        tokens[:, layout.image_slice] = image
        mask = tokens == layout.mask_token_id
        plan = make_plan(mask, sampling)
        noise = uniforms([0], sampling.steps, layout.n_tokens)
        condition = known_media(mask, layout)
        begin = time.perf_counter()
        if "decode" in sessions:
            loop = sessions["decode"]
            decoded = fused.decode(loop, tokens, mask, plan, noise, condition=condition)
        else:
            decoded = stepwise.decode(
                sessions["step"],
                *(tokens, mask, plan, noise),
                condition=condition,
                mask_token_id=layout.mask_token_id,
            )
        end = time.perf_counter()
        codes = np.ascontiguousarray(decoded[:, layout.audio_slice])
        mel = sessions["mel_decoder"].run({"codes": codes})["mel"]
        sessions["vocoder"].run({"mel": mel})
        total_ms = (time.perf_counter() - start) * 1000
        return Sound(loop_ms=(end - begin) * 1000, total_ms=total_ms, codes=codes)

    return run


def _one_call(subject: Subject, bundle: Bundle, threads: int) -> Callable[[], Sound]:
    layout, sampling = subject.models.layout, subject.sampling
    session = _onnx(bundle, "image_to_audio", threads)
    mask = np.zeros((1, layout.n_tokens), dtype=np.bool_)
    mask[:, layout.audio_slice] = True
    picture = subject.picture

    def run() -> Sound:
        start = time.perf_counter()
        noise = uniforms([0], sampling.steps, layout.n_tokens)
        _, codes = fused.image_to_audio(session, picture, make_plan(mask, sampling), noise)
        total_ms = (time.perf_counter() - start) * 1000
        return Sound(loop_ms=None, total_ms=total_ms, codes=codes)

    return run


def _onnx(bundle: Bundle, graph: str, threads: int) -> OnnxSession:
    signature = bundle.manifest.graphs[graph].signature
    return OnnxSession(bundle.graph_path(graph), signature, "cpu", threads)


def _onnx_sessions(bundle: Bundle, loop: str, threads: int) -> dict[str, Session]:
    return {graph: _onnx(bundle, graph, threads) for graph in (*PARTS, loop)}


def _torch_sessions(subject: Subject, kind: str) -> dict[str, Session]:
    """fp32, but for the step: it is nine tenths of the work."""
    modules = graph_modules(subject.models)
    if kind == "bf16":
        modules["step"] = copy.deepcopy(modules["step"]).bfloat16()
    if kind == "compile":
        modules["step"] = torch.compile(modules["step"])  # type: ignore[assignment]
    graphs = subject.bundle.manifest.graphs
    return {name: TorchSession(modules[name], graphs[name].signature) for name in (*PARTS, "step")}


def _openvino_sessions(subject: Subject, precision: str, threads: int) -> dict[str, Session]:
    """bf16 and int8 for the step; the other graphs in f32."""
    graphs = subject.bundle.manifest.graphs
    sessions: dict[str, Session] = {}
    for name in (*PARTS, "step"):
        signature = graphs[name].signature
        # Guidance makes a batch of two.
        batch = 2 if name == "step" else 1
        model = openvino_model(subject.bundle.graph_path(name), signature, batch)
        hint = "f32"
        if name == "step" and precision == "bf16":
            hint = "bf16"
        if name == "step" and precision == "int8":
            model = openvino_int8(model, _questions(subject))
        sessions[name] = OpenVINOSession(model, signature.outputs, hint, threads)
    return sessions


def _openvino_fused(subject: Subject, threads: int) -> dict[str, Session]:
    sessions = _openvino_sessions(subject, "f32", threads)
    del sessions["step"]
    signature = subject.bundle.manifest.graphs["decode"].signature
    model = openvino_model(subject.bundle.graph_path("decode"), signature, 1)
    sessions["decode"] = OpenVINOSession(model, signature.outputs, "f32", threads)
    return sessions


def _questions(subject: Subject) -> list[NDArray[np.int32]]:
    """What the step graph is asked on the way: more and more of the sound is known."""
    layout = subject.models.layout
    rng = np.random.default_rng(0)
    questions = []
    for i in range(CALIBRATION):
        codes = rng.integers(0, layout.vocab_size, (2, layout.n_tokens))
        mask = rng.random(codes.shape) < 1 - i / CALIBRATION
        mask[0, layout.image_slice] = False
        mask[1, layout.image_slice] = True
        questions.append(np.where(mask, layout.mask_token_id, codes).astype(np.int32))
    return questions
