"""``python -m bench.gpu_peers BUNDLE``: PyTorch on an NVIDIA GPU with a bundle's own weights.

The last line is a list of results as JSON. Each makes the sound of the same picture with the same
noise, its tokens drawn on the host.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import torch

from bench.contenders import Contender, sound_maker, torch_modules
from bench.measure import measure
from bench.models import Subject
from bench.sessions import TorchSession
from echoes_export.bundle.stored_models import stored_models
from echoes_rt.backends.base import Session
from echoes_rt.bundle import Bundle

KINDS = ("fp32", "fp16", "fp16, torch.compile")


def peers(subject: Subject) -> Iterator[Contender]:
    def sessions(kind: str) -> dict[str, Session]:
        modules = torch_modules(subject.models.copy())
        made: dict[str, Session] = {}
        for name, (module, inputs, output) in modules.items():
            module = module.cuda()
            if kind.endswith("compile"):
                module = torch.compile(module)  # type: ignore[assignment]
            half = kind.startswith("fp16")
            made[name] = TorchSession(module, inputs, output, "cuda", half=half)
        return made

    for kind in KINDS:
        yield Contender(
            name=f"torch {kind}",
            is_ours=False,
            make=lambda kind=kind: sound_maker(subject, sessions(kind)),
        )


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True)
def main(bundle: Path, runs: int) -> None:
    if not torch.cuda.is_available():
        raise click.ClickException(f"PyTorch {torch.__version__} finds no CUDA device")
    opened = Bundle.open(bundle)
    subject = Subject(
        size=opened.manifest.name,
        models=stored_models(opened),
        bundle=opened,
        sampling=opened.manifest.sampling,
        student=opened.manifest.sampling,
    )
    results = measure(peers(subject), runs, lambda what: click.echo(what, err=True))
    click.echo(json.dumps([result.to_dict() for result in results]))


if __name__ == "__main__":
    main()
