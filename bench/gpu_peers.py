"""``python -m bench.gpu_peers BUNDLE``: PyTorch on a GPU with a bundle's own weights, beside ours.

The last line is a list of results as JSON. Each makes the sounds of the same pictures with the same
noise.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import torch

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
from bench.torch_loop import TorchLoop
from echoes_export.bundle.models import stored_models
from echoes_rt.backends.base import Session
from echoes_rt.bundle import Bundle

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
