"""``python -m bench.gpu_peers BUNDLE``: PyTorch on an NVIDIA GPU with a bundle's own weights.

The last line is a list of results as JSON. Each makes the sound of the same picture with the same
noise, its tokens drawn on the host.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from bench.contenders import Contender, sound_maker, torch_modules
from bench.measure import measure
from bench.models import Subject
from echoes_export.bundle.stored_models import stored_models
from echoes_rt.backends.base import Session
from echoes_rt.bundle import Bundle

KINDS = ("fp32", "fp16", "fp16, torch.compile")


class CudaSession:
    """A torch module on a GPU behind the runtime's interface."""

    def __init__(
        self, module: torch.nn.Module, inputs: tuple[str, ...], output: str, kind: str
    ) -> None:
        self.device = "torch on cuda"
        self._names = inputs
        self._output = output
        self._is_half = kind.startswith("fp16")
        self._module: Any = module.cuda().eval()
        if kind.endswith("compile"):
            self._module = torch.compile(self._module)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        arrays = [np.ascontiguousarray(inputs[name]) for name in self._names]
        given = [torch.from_numpy(array).cuda() for array in arrays]
        # Norms stay in float32, as in the engines.
        with (
            torch.inference_mode(),
            torch.autocast("cuda", dtype=torch.float16, enabled=self._is_half),
        ):
            made = self._module(*given)
        return {self._output: (made.float() if made.is_floating_point() else made).cpu().numpy()}


def peers(subject: Subject) -> Iterator[Contender]:
    def sessions(kind: str) -> dict[str, Session]:
        modules = torch_modules(subject.models.copy())
        return {
            name: CudaSession(module, inputs, output, kind)
            for name, (module, inputs, output) in modules.items()
        }

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
        int8=opened,
        sampling=opened.manifest.sampling,
    )
    results = measure(peers(subject), runs, lambda what: click.echo(what, err=True))
    click.echo(json.dumps([result.to_dict() for result in results]))


if __name__ == "__main__":
    main()
