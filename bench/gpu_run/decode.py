"""``python -m bench.gpu_run.decode BUNDLE OUT.json``: our decoding on CUDA against PyTorch's.

All have the same weights, plan and noise; times end after a synchronisation. Without a GPU only
PyTorch runs, on the CPU.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.contenders import LOGITS, torch_modules
from bench.gpu_run.torch_loop import TorchLoop, recorded
from echoes_export.bundle.stored_models import stored_models
from echoes_rt.bundle import Bundle
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import Plan, make_plan
from echoes_rt.errors import EchoesError
from echoes_rt.model import Model

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")

Question = dict[str, NDArray[Any]]


def timed(run: Callable[[], object], runs: int) -> dict[str, float]:
    """Milliseconds, on a GPU after two runs that do not count."""
    times = []
    warm_up = 2 if CUDA else 0
    for number in range(warm_up + runs):
        start = time.perf_counter()
        run()
        if CUDA:
            torch.cuda.synchronize()
        if number >= warm_up:
            times.append((time.perf_counter() - start) * 1000)
    p50, p95 = np.percentile(times, (50, 95))
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def question(cpu: Model, members: int) -> tuple[Question, Plan]:
    """Sounds of random pictures, each with a seed of its own."""
    grids = cpu.manifest.tokens
    image = np.random.default_rng(0).integers(
        grids.image.codebook_size, size=(members, grids.image.n_tokens), dtype=np.int32
    )
    tokens = np.full((members, grids.audio.n_tokens), grids.audio.mask_token, dtype=np.int32)
    plan = make_plan(
        tokens == grids.audio.mask_token, grids.audio.order, cpu.sampling(grids.audio.n_tokens)
    )
    noise = uniforms(range(members), 0, grids.audio.n_tokens)
    context = cpu.context("audio", image)
    return {"image": image, "tokens": tokens, "context": context, "uniforms": noise}, plan


def ours(bundle: Bundle, cpu: Model, batches: list[int], runs: int) -> dict[str, object]:
    """Equal tokens and times of ONNX Runtime's CUDA provider."""
    found: dict[str, object] = {}
    gpu = Model.load(bundle, device="cuda")
    for batch in batches:
        asked, _ = question(cpu, batch)

        def decode(model: Model, asked: Question = asked, batch: int = batch) -> NDArray[np.int32]:
            context = asked["image"]
            return model.decode_tokens("audio", asked["tokens"], context, seeds=range(batch))

        equal = float((decode(cpu) == decode(gpu)).mean())
        entry = timed(lambda decode=decode: decode(gpu), runs)  # type: ignore[misc]
        found[f"batch {batch}"] = {**entry, "equal_tokens": round(equal, 5)}
    spec = bundle.manifest.image
    picture = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), np.uint8)
    unknown = question(cpu, 1)[0]["tokens"]

    def whole() -> None:
        codes = gpu.decode_tokens("audio", unknown, gpu.encode_image(picture), seeds=[1])
        gpu.decode_audio(codes)

    found["picture to samples"] = timed(whole, runs)
    found["graphs"] = {name: gpu.variant(name) for name in gpu.decoding_graphs("audio")}
    return found


def torchs(
    bundle: Bundle, cpu: Model, batches: list[int], runs: int, *, is_compiled: bool
) -> dict[str, object]:
    """Equal tokens and times of ``TorchLoop``, with all of its launches and as one CUDA graph."""
    found: dict[str, object] = {}
    module: nn.Module = torch_modules(stored_models(bundle))[LOGITS][0].to(DEVICE).eval()
    if is_compiled:
        module = torch.compile(module, dynamic=False)  # type: ignore[assignment]
    for batch in batches:
        asked, plan = question(cpu, batch)
        seeds = range(batch)
        expected = cpu.decode_tokens("audio", asked["tokens"], asked["image"], seeds=seeds)
        for kind, half in (("fp32", None), ("half", torch.float16 if CUDA else torch.bfloat16)):
            loop: Callable[[], torch.Tensor] = TorchLoop.of(module, asked, plan, DEVICE, half)
            for form in ("launched", "recorded") if CUDA else ("launched",):
                name = f"batch {batch}, {kind}, {form}"
                try:
                    run = recorded(loop) if form == "recorded" else loop
                    equal = float((run().cpu().numpy() == expected).mean())
                    found[name] = {**timed(run, runs), "equal_tokens": round(equal, 5)}
                except Exception as error:  # one that fails shall not cost the others
                    found[name] = f"{type(error).__name__}: {str(error)[:300]}"
    return found


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(1), default=20 if CUDA else 1, show_default=True)
@click.option("--batches", default="1", show_default=True, help="Sizes, by commas.")
@click.option("--compile", "is_compiled", is_flag=True, help="PyTorch alone, compiled.")
@torch.inference_mode()
def main(bundle: Path, out: Path, runs: int, batches: str, is_compiled: bool) -> None:
    """Write equal tokens, with the CPU's, and times of decoding a sound."""
    opened = Bundle.open(bundle)
    cpu = Model.load(opened, device="cpu")
    # The large batches cost a CPU minutes and show it nothing.
    sizes = [int(size) for size in batches.split(",")][: None if CUDA else 1]
    results: dict[str, object] = {
        "bundle": opened.manifest.name,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if CUDA else "cpu",
    }

    def note(name: str, made: Callable[[], object]) -> None:
        try:
            results[name] = made()
        except EchoesError as error:
            results[name] = str(error)
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    if not is_compiled:
        note("ours", lambda: ours(opened, cpu, sizes, runs))
    note("torch", lambda: torchs(opened, cpu, sizes, runs, is_compiled=is_compiled))
    click.echo(f"{out}: {json.dumps(results)[:600]}")


if __name__ == "__main__":
    main()
