"""``python -m bench.gpu_run.speed OUT.json``: how fast the transformer trains, on random codes."""

import dataclasses
import json
import time
from pathlib import Path

import click
import numpy as np
import torch

from echoes_rt.format.tokens import Grid, TokenLayout
from echoes_training import PRESET_NAMES
from echoes_training.config import TransformerStageConfig
from echoes_training.cost import count_work
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.presets import PRESETS
from echoes_training.processes import Processes
from echoes_training.stages.loop import resolve
from echoes_training.stages.sequences import Sequences
from echoes_training.stages.transformer import TransformerStep, new_objective

CUDA = torch.cuda.is_available()
ROWS, GROUPS = 512, 16


def random_cache(layout: TokenLayout) -> TokenCache:
    rng = np.random.default_rng(0)

    def table(grid: Grid) -> TokenTable:
        return TokenTable(
            codes=rng.integers(0, grid.codebook_size, (ROWS, grid.n_tokens)).astype(np.int16),
            group=(np.arange(ROWS) % GROUPS).astype(np.int32),
            validation=np.arange(ROWS) % 4 == 3,
        )

    image, audio = (
        rng.standard_normal((grid.codebook_size, 32)).astype(np.float32)
        for grid in (layout.image, layout.audio)
    )
    return TokenCache(
        image=table(layout.image),
        audio=table(layout.audio),
        image_codebook=image,
        audio_codebook=audio,
        groups=[str(number) for number in range(GROUPS)],
    )


def measure(preset: str, batch: int, steps: int, *, compiled: bool) -> dict[str, object]:
    """Of the stage's own step, after three that do not count."""
    whole = PRESETS[preset]
    loop = dataclasses.replace(whole.transformer.loop, batch_size=batch, steps=1000)
    stage: TransformerStageConfig = dataclasses.replace(
        whole.transformer, loop=resolve(loop), compiled=compiled
    )
    flop = count_work(dataclasses.replace(whole, transformer=stage), 1, 1)[-1].flops
    processes = Processes(stage.loop.device)
    cache = random_cache(stage.layout)
    objective = new_objective(cache, stage, None).to(processes.device)
    step_once = TransformerStep(stage, Sequences(cache, stage), processes, objective)
    start = time.perf_counter()
    for step in range(3 + steps):
        if step == 3:
            _wait()
            warm, start = time.perf_counter() - start, time.perf_counter()
        step_once(step)
    _wait()
    took = (time.perf_counter() - start) / steps
    return {
        "step_ms": round(took * 1e3, 2),
        "sequences_s": round(batch / took),
        "tflops": round(flop * batch / took / 1e12, 2),
        "first_three_s": round(warm, 1),
        "precision": stage.loop.precision,
        "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1) if CUDA else None,
    }


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--preset", type=click.Choice(PRESET_NAMES), default="mini", show_default=True)
@click.option("--large", type=click.Choice(PRESET_NAMES), default="base", show_default=True)
def main(out: Path, preset: str, large: str) -> None:
    """Write milliseconds a step of both presets, eager and compiled."""
    cases = [
        (preset, 16, 40, False),
        (preset, 256, 20, False),
        (preset, 256, 20, True),
        (large, 128, 8, False),
        (large, 128, 8, True),
    ]
    results: dict[str, object] = {"torch": torch.__version__}
    for name, batch, steps, compiled in cases if CUDA else [(preset, 2, 1, False)]:
        key = f"{name}, batch {batch}{', compiled' if compiled else ''}"
        try:
            results[key] = measure(name, batch, steps, compiled=compiled)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            results[key] = f"{type(error).__name__}: {str(error)[:300]}"
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    click.echo(json.dumps(results))


if __name__ == "__main__":
    main()
