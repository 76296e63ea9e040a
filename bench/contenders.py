"""Every model that a person could use for the same task."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.models import Subject
from bench.sessions import OpenVINOSession, TorchSession, openvino_int8, openvino_model
from echoes_export.bundle.models import Models
from echoes_export.graphs.wrappers import graph_parts, network_part
from echoes_rt.backends.base import Session
from echoes_rt.decode import reference, steps
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import Plan, make_plan
from echoes_rt.model import Model

PARTS = ("image_encoder", "context_image", "mel_decoder", "vocoder")
LOGITS, STEP, LOOP = "logits_audio", "decode_audio_step", "decode_audio"
CALIBRATION = 12
"""Questions by which nncf sets its scales."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One run."""

    loop_ms: float
    total_ms: float
    codes: NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """``make`` loads it and gives what makes one sound."""

    name: str
    is_ours: bool
    make: Callable[[], Callable[[], Sound]]


def contenders(subject: Subject, threads: int) -> Iterator[Contender]:
    """The teacher's plain loop in other engines, and ours of the student.

    Those that this machine cannot run fail when they are made.
    """
    sessions: dict[str, Callable[[], dict[str, Session]]] = {
        "torch eager fp32": lambda: _torch_sessions(subject, "fp32"),
        "torch eager bf16": lambda: _torch_sessions(subject, "bf16"),
        "torch.compile fp32": lambda: _torch_sessions(subject, "compile"),
        "ONNX Runtime, host loop fp32": lambda: onnx_sessions(subject, "fp32", LOGITS, threads),
        "OpenVINO, host loop f32": lambda: _openvino_sessions(subject, "f32", threads),
        "OpenVINO, host loop bf16": lambda: _openvino_sessions(subject, "bf16", threads),
        "OpenVINO, host loop int8 (nncf)": lambda: _openvino_sessions(subject, "int8", threads),
        "echoes-rt, steps fp32": lambda: onnx_sessions(subject, "fp32", STEP, threads),
        "echoes-rt, one call fp32": lambda: onnx_sessions(subject, "fp32", LOOP, threads),
        "echoes-rt, steps int8": lambda: onnx_sessions(subject, "int8", STEP, threads),
        "echoes-rt, one call int8": lambda: onnx_sessions(subject, "int8", LOOP, threads),
    }
    for name, load in sessions.items():
        yield Contender(
            name=name,
            is_ours=name.startswith("echoes-rt"),
            make=lambda load=load: sound_maker(subject, load()),
        )


def sound_maker(subject: Subject, sessions: dict[str, Session]) -> Callable[[], Sound]:
    """Makes the sounds of the pictures with sessions of the parts and of one loop."""
    grid, picture = subject.models.layout.audio, subject.picture
    decode = {LOOP: steps.decode_at_once, STEP: steps.decode, LOGITS: plain_decode}
    (name,) = decode.keys() & sessions.keys()
    sampling = subject.sampling if name == LOGITS else subject.student
    texture = subject.texture

    def run() -> Sound:
        start = time.perf_counter()
        image = sessions["image_encoder"].run({"image": picture})["codes"]
        tokens = np.full((len(picture), grid.n_tokens), grid.mask_token, dtype=np.int32)
        plan = make_plan(tokens == grid.mask_token, grid.order, sampling)
        noise = uniforms(range(len(picture)), 0, grid.n_tokens)
        begin = time.perf_counter()
        seen = sessions["context_image"].run({"codes": image})["context"]
        codes = decode[name](sessions[name], tokens, seen, plan, noise)  # type: ignore[operator]
        end = time.perf_counter()
        mel = sessions["mel_decoder"].run({"codes": codes, **texture})["mel"]
        sessions["vocoder"].run({"mel": mel})
        total_ms = (time.perf_counter() - start) * 1000
        return Sound(loop_ms=(end - begin) * 1000, total_ms=total_ms, codes=codes)

    return run


def plain_decode(
    session: Session,
    tokens: NDArray[np.int32],
    seen: NDArray[Any],
    plan: Plan,
    noise: NDArray[np.float32],
) -> NDArray[np.int32]:
    """What anybody would write for one sound: all logits of both branches, drawn on the host."""
    tokens = tokens.copy()
    for step, scale in enumerate(plan.guidance_scale):
        # Of two rows with one row of context, the second is the branch without it.
        rows = np.repeat(tokens, 1 if scale == 1 else 2, axis=0)
        logits = session.run({"tokens": rows, "context": seen})["logits"]
        guided = logits[-1] + scale * (logits[0] - logits[-1])
        for position in plan.positions[step, 0]:
            if position < tokens.shape[1]:
                tokens[0, position] = reference.draw(
                    guided[position], noise[0, position], **plan.drawing_at(step)
                )
    return tokens


class Logits(nn.Module):
    """Graph ``logits_audio`` in torch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        n_seen = len(context)
        context = context.to(next(self.network.parameters()).dtype)
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
        logits = self.network(
            context, tokens[:n_seen], positions[:n_seen], tokens[n_seen:], positions[n_seen:]
        )
        assert isinstance(logits, Tensor)
        return logits


def torch_modules(models: Models) -> dict[str, tuple[nn.Module, tuple[str, ...], str]]:
    """Module, inputs and output of every part and of ``logits_audio``."""
    parts = graph_parts(models)
    modules = {
        name: (part.module, (*part.signature.inputs,), next(iter(part.signature.outputs)))
        for name, part in parts.items()
        if name in PARTS
    }
    network = Logits(network_part(models, "audio").module)
    return modules | {LOGITS: (network, ("tokens", "context"), "logits")}


def onnx_sessions(
    subject: Subject,
    precision: str,
    loop_graph: str,
    threads: int | None = None,
    device: str = "cpu",
) -> dict[str, Session]:
    model = Model.load(subject.bundle, device, threads, precision)
    return {graph: model.session(graph) for graph in (*PARTS, loop_graph)}


def _torch_sessions(subject: Subject, kind: str) -> dict[str, Session]:
    """fp32, but for the loop: it is nine tenths of the work."""
    modules = torch_modules(subject.models)
    network, inputs, output = modules[LOGITS]
    if kind == "bf16":
        network = copy.deepcopy(network).bfloat16()
    if kind == "compile":
        network = torch.compile(network)  # type: ignore[assignment]
    modules[LOGITS] = (network, inputs, output)
    return {name: TorchSession(*module) for name, module in modules.items()}


def _openvino_sessions(subject: Subject, precision: str, threads: int) -> dict[str, Session]:
    """bf16 and int8 for the loop; the other graphs in f32."""
    sessions: dict[str, Session] = {}
    for name in (*PARTS, LOGITS):
        # Guidance makes a batch of two, of which one sees the context.
        sizes = {"batch": 2 if name == LOGITS else 1, "seen": 1}
        model = openvino_model(subject.bundle.graph_path(name), sizes)
        hint = "f32"
        if name == LOGITS and precision == "bf16":
            hint = "bf16"
        if name == LOGITS and precision == "int8":
            model = openvino_int8(model, _questions(subject))
        sessions[name] = OpenVINOSession(model, hint, threads)
    return sessions


def _questions(subject: Subject) -> list[dict[str, NDArray[Any]]]:
    """What the logits are asked on the way: more and more of the sound is known."""
    layout = subject.models.layout
    model = Model.load(subject.bundle, device="cpu")
    rng = np.random.default_rng(0)
    questions = []
    for i in range(CALIBRATION):
        image = rng.integers(0, layout.image.codebook_size, (1, layout.image.n_tokens))
        codes = rng.integers(0, layout.audio.codebook_size, (1, layout.audio.n_tokens))
        hidden = rng.random(codes.shape) < 1 - i / CALIBRATION
        tokens = np.where(hidden, layout.audio.mask_token, codes).astype(np.int32)
        context = model.context("audio", image.astype(np.int32))
        questions.append({"tokens": np.repeat(tokens, 2, axis=0), "context": context})
    return questions
