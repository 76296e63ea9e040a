"""``python -m bench.gpu_peers BUNDLE``: PyTorch on a GPU with a bundle's own weights, beside ours.

The last line is a list of results as JSON. Each makes the sounds of the same pictures with the same
noise.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contenders import (
    LOGITS,
    LOOP,
    PARTS,
    STEP,
    Contender,
    onnx_sessions,
    sound_maker,
    torch_modules,
)
from bench.measure import measure
from bench.models import Subject
from bench.sessions import TorchSession
from echoes_export.bundle.models import stored_models
from echoes_rt.backends.base import Arrays, Session
from echoes_rt.bundle import Bundle
from echoes_rt.decode.reference import LOGIT_FLOOR
from echoes_rt.format.sampling import DRAWING
from echoes_training.stages.rollouts import draw, weights_of


class TorchLoop:
    """Graph ``decode_audio`` as a session; no step waits for the host.

    Args:
        logits: (R, N) tokens and (B, ...) context to (R, N, V); rows beyond B are without context.
        device: of the module and of all work.
        half: autocast's type for the network, or None for float32.
        is_recorded: whether the first call is recorded as a CUDA graph, which the later ones
            replay; they must be of the same plan.
    """

    inputs = ("guidance_scale",)

    def __init__(
        self,
        logits: nn.Module,
        device: str,
        half: torch.dtype | None = None,
        *,
        is_recorded: bool = False,
    ) -> None:
        self.device = device
        self._logits = logits
        self._half = half
        self._is_recorded = is_recorded
        self._graph: tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Tensor] | None = None

    @torch.inference_mode()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        given = {
            name: torch.from_numpy(np.ascontiguousarray(inputs[name])).to(self.device)
            for name in ("tokens", "context", "positions", "uniforms")
        }
        if not self._is_recorded:
            return {"decoded": self._decode(given, inputs).cpu().numpy()}
        if self._graph is None:
            self._graph = self._recorded(given, inputs)
        graph, kept, decoded = self._graph
        for name, tensor in given.items():
            kept[name].copy_(tensor)
        graph.replay()
        return {"decoded": decoded.cpu().numpy()}

    def _recorded(
        self, given: dict[str, Tensor], plan: Arrays
    ) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Tensor]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._decode(given, plan)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            decoded = self._decode(given, plan)
        return graph, given, decoded

    def _decode(self, given: dict[str, Tensor], plan: Arrays) -> Tensor:
        tokens, context = given["tokens"], given["context"]
        members, n_tokens = tokens.shape
        for step, scale in enumerate(plan["guidance_scale"]):
            if scale == 1:
                logits = self._scores(tokens, context)
            else:
                rows = self._scores(torch.cat([tokens, tokens]), context)
                seen, alone = rows.split(members)
                logits = alone + float(scale) * (seen - alone)
            where = given["positions"][step].long()
            at = where.clamp(max=n_tokens - 1)[..., None].expand(-1, -1, logits.shape[2])
            weights = weights_of(logits.gather(1, at), **{key: plan[key][step] for key in DRAWING})
            drawn = draw(weights, given["uniforms"][step].double())
            # One column more, for what draws nothing.
            padded = torch.cat([tokens, tokens[:, :1]], dim=1)
            tokens = padded.scatter(1, where, drawn.to(tokens.dtype))[:, :n_tokens]
        return tokens

    def _scores(self, rows: Tensor, context: Tensor) -> Tensor:
        with torch.autocast(rows.device.type, dtype=self._half, enabled=self._half is not None):
            scores: Tensor = self._logits(rows, context)
        return scores.float().clamp(min=float(LOGIT_FLOOR))


KINDS = ("fp32", "fp16", "fp32, CUDA graph", "fp16, CUDA graph", "fp16, torch.compile")


def peers(subject: Subject, device: str) -> Iterator[Contender]:
    def sessions(kind: str) -> dict[str, Session]:
        modules = torch_modules(subject.models.copy())
        is_half = kind.startswith("fp16")
        made: dict[str, Session] = {
            name: TorchSession(*modules[name], device, half=is_half) for name in PARTS
        }
        network = modules[LOGITS][0].to(device)
        if kind.endswith("compile"):
            network = torch.compile(network)  # type: ignore[assignment]
        half = torch.float16 if is_half else None
        is_recorded = kind.endswith("graph")
        return made | {LOOP: TorchLoop(network, device, half, is_recorded=is_recorded)}

    for kind in KINDS if device == "cuda" else KINDS[:1]:
        yield Contender(
            name=f"torch {kind}",
            is_ours=False,
            make=lambda kind=kind: sound_maker(subject, sessions(kind)),
        )
    yield Contender(
        name="echoes-rt",
        is_ours=True,
        make=lambda: sound_maker(subject, onnx_sessions(subject, "fp32", STEP, device=device)),
    )


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
def main(bundle: Path, runs: int, batch: int, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise click.ClickException(f"PyTorch {torch.__version__} finds no CUDA device")
    opened = Bundle.open(bundle)
    subject = Subject(
        size=opened.manifest.name,
        models=stored_models(opened),
        bundle=opened,
        sampling=opened.manifest.sampling,
        student=opened.manifest.sampling,
        members=batch,
    )
    results = measure(peers(subject, device), runs, lambda what: click.echo(what, err=True))
    click.echo(json.dumps([result.to_dict() for result in results]))


if __name__ == "__main__":
    main()
