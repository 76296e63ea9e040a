"""The command `echoes-train prepare videos`: from videos to shards."""

import os
import time
from pathlib import Path

import click

from echoes_rt.errors import InputError
from echoes_training import PRESET_NAMES
from echoes_training.data.index import Split


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="VGGSound's or AudioSet's csv.  [default: the beginning of every video of FOLDER]",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the shards and of skipped.csv.",
)
@click.option(
    "--preset",
    type=click.Choice(PRESET_NAMES),
    default="mini",
    show_default=True,
    help="Its picture size and sample rate are kept.",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Of each clip, evenly spread.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 600, min_open=True),
    default=10.0,
    show_default=True,
    help="Longest clip.",
)
@click.option(
    "--shortest",
    type=click.FloatRange(0, min_open=True),
    help="Shortest clip, in seconds.  [default: 0.9 of --seconds]",
)
@click.option(
    "--cut", is_flag=True, help="Files named by the id alone hold only the stretch of the table."
)
@click.option(
    "--split",
    type=click.Choice(["train", "heldout"]),
    help="Where the table has none.  [default: one video in ten is held out]",
)
@click.option(
    "--clips-per-shard",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Clips of one tar file.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
def videos(
    folder: Path,
    table: Path | None,
    out: Path,
    preset: str,
    frames: int,
    seconds: float,
    shortest: float | None,
    cut: bool,
    split: Split | None,
    clips_per_shard: int,
    workers: int | None,
) -> None:
    """Make WebDataset shards of the videos in FOLDER.

    Of each clip they hold frames and sound. With --table, files are found by their names:
    ID_START (as VGGSound is spread), ID_START_END, in seconds or milliseconds, or ID for a
    whole video. Run it again after an interruption: whole shards are kept. What cannot be used
    is listed in skipped.csv with the reason.

    Example: echoes-train prepare videos vggsound --table vggsound.csv --preset base --out shards
    """
    from echoes_rt.io.av_file import import_av

    import_av("video")
    from tqdm import tqdm

    from echoes_training.data.videos import shards
    from echoes_training.data.videos.sample import ClipForm
    from echoes_training.data.videos.table import folder_clips, read_table
    from echoes_training.presets import PRESETS

    shortest_s = 0.9 * seconds if shortest is None else shortest
    if shortest_s > seconds:
        raise InputError(
            f"--shortest must be at most --seconds, got {shortest_s:g} and {seconds:g}"
        )
    image, mel = PRESETS[preset].image, PRESETS[preset].mel
    form = ClipForm(
        n_frames=frames,
        height=image.height,
        width=image.width,
        sample_rate=mel.sample_rate,
        seconds=seconds,
        shortest_s=shortest_s,
    )
    if table is None:
        clips = folder_clips(folder, seconds=seconds, split=split)
    else:
        clips = read_table(table, folder, seconds=seconds, cut=cut, split=split)
    planned = shards.plan(clips, clips_per_shard)
    wanted = shards.describe(planned, form, clips_per_shard)
    with tqdm(total=len(clips), desc="clips", unit="clip", smoothing=0.01) as bar:
        began = time.perf_counter()
        n_done = shards.fill(out, planned, wanted, workers or _n_cores(), bar.update)
        took_s = time.perf_counter() - began
    for line in shards.summary(out):
        click.echo(line)
    if n_done:
        rate = n_done / took_s
        click.echo(f"{n_done} clips in {took_s:.1f} s: {rate:.1f} clips per second", err=True)
    click.echo(str(out))


def _n_cores() -> int:
    """Those that this process may use, where the system says."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
