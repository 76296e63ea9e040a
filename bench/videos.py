"""``python -m bench.videos``: how many clips a second the path of video data takes."""

import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from bench.machine import machine
from bench.video_files import write_clip
from echoes_training.data.videos.prepare import fill
from echoes_training.data.videos.sample import ClipForm, read_sample
from echoes_training.data.videos.shards import describe, plan, read_tar
from echoes_training.data.videos.table import read_table

FRAMES, SECONDS = 10, 10.0
PER_BATCH = 256


@contextmanager
def timed(name: str, count: int, results: dict[str, object]) -> Iterator[None]:
    """By the clock, and by the time of all cores, which other work hardly moves."""
    began, began_cpu = time.perf_counter(), _cpu_s()
    yield
    wall_s, cpu_s = time.perf_counter() - began, _cpu_s() - began_cpu
    results[name] = {
        "count": count,
        "wall_s": round(wall_s, 2),
        "per_s": round(count / wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "per_cpu_s": round(count / cpu_s, 2),
    }


def _cpu_s() -> float:
    """Of this process and of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure_shards(
    work: Path, n_videos: int, n_clips: int, n_workers: int, results: dict[str, object]
) -> None:
    """Videos to shards, then shards to what the codecs read."""
    from echoes_training.presets import PRESETS  # here, for worker processes need no torch

    rng = np.random.default_rng(0)
    videos = work / "videos"
    videos.mkdir()
    for number in range(n_videos):
        write_clip(videos / f"v{number}.mp4", SECONDS, rng)
    table = work / "table.csv"
    table.write_text("".join(f"v{i % n_videos},0,noise,train\n" for i in range(n_clips)), "utf-8")
    image, mel = PRESETS["base"].image, PRESETS["base"].mel
    form = ClipForm(
        n_frames=FRAMES,
        height=image.height,
        width=image.width,
        sample_rate=mel.sample_rate,
        seconds=SECONDS,
        shortest_s=0.9 * SECONDS,
    )
    shards = plan(read_table(table, videos, seconds=SECONDS, cut=False), n_clips)
    out = work / "shards"
    with timed("clips_prepared", n_clips, results):
        fill(out, shards, describe(shards, form, n_clips), n_workers, lambda _: None)
    (tar,) = out.glob("*.tar")
    with timed("clips_read", n_clips, results):
        samples = [read_sample(files).times for _, files in read_tar(tar)]
    assert len(samples) == n_clips
    results["bytes_per_clip"] = tar.stat().st_size // n_clips


def measure_draws(work: Path, n_pairs: int, results: dict[str, object]) -> None:
    """Sequences of the base transformer's batches, out of a cache of ``n_pairs`` clips."""
    from echoes_training.data.tokens import TokenCache, TokenTable
    from echoes_training.presets import PRESETS
    from echoes_training.stages.sequences import Sequences

    config = PRESETS["base"].transformer
    layout = config.layout
    rng = np.random.default_rng(0)
    numbers = np.arange(n_pairs, dtype=np.int32)

    def table(n_tokens: int, codebook_size: int, each: int) -> TokenTable:
        shape = (each * n_pairs, n_tokens)
        group = np.repeat(numbers, each)
        codes = rng.integers(0, codebook_size, shape, dtype=np.int16)
        return TokenTable(codes=codes, group=group, validation=group % 10 == 0)

    path = work / "tokens.safetensors"
    TokenCache(
        image=table(layout.image.n_tokens, layout.image.codebook_size, FRAMES),
        audio=table(layout.audio.n_tokens, layout.audio.codebook_size, 1),
        image_codebook=np.zeros((layout.image.codebook_size, 1), np.float32),
        audio_codebook=np.zeros((layout.audio.codebook_size, 1), np.float32),
        groups=[f"pair:{number}" for number in numbers],
    ).save(path)
    with timed("cache_opened", 1, results):
        sequences = Sequences(TokenCache.load(path), config)
    sequences.batch(0, range(PER_BATCH))
    with timed("sequences_drawn", 10 * PER_BATCH, results):
        for step in range(1, 11):
            sequences.batch(step, range(PER_BATCH))


@click.command()
@click.option("--videos", type=click.IntRange(1), default=6, show_default=True)
@click.option("--clips", type=click.IntRange(1), default=60, show_default=True, help="Of them all.")
@click.option("--workers", type=click.IntRange(1), help="[default: as many as cores]")
@click.option("--pairs", type=click.IntRange(20), default=20_000, show_default=True)
def main(videos: int, clips: int, workers: int | None, pairs: int) -> None:
    """Print the throughput of preparing, reading and drawing as JSON."""
    load = os.getloadavg()[0]
    results: dict[str, object] = {"machine": machine(), "load_before": round(load, 2)}
    with tempfile.TemporaryDirectory() as folder:
        measure_draws(Path(folder), pairs, results)
        measure_shards(Path(folder), videos, clips, workers or os.cpu_count() or 1, results)
    click.echo(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
