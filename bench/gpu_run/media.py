"""``python -m bench.gpu_run.media INDEX OUT``: an index's media, small enough to travel."""

import dataclasses
from pathlib import Path

import click
import cv2
import soundfile
import soxr

from echoes_rt.io.image import read_image
from echoes_training.data.index import read_index, write_index

QUALITY = 85


@click.command()
@click.argument("index", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--side", type=click.IntRange(16), default=160, show_default=True, help="Short one.")
@click.option("--rate", type=click.IntRange(8000), default=22_050, show_default=True, help="In Hz.")
@click.option("--labelled", is_flag=True, help="Only clips that have a label.")
def main(index: Path, out: Path, side: int, rate: int, labelled: bool) -> None:
    """Encode pictures as WebP, reduced, and sounds as mono Ogg Vorbis; write OUT/index.jsonl.

    Example: python -m bench.gpu_run.media data/index.jsonl build/media
    """
    made: dict[str, str] = {}
    clips = []
    for clip in read_index(index):
        if labelled and not clip.label:
            continue
        for path, suffix in ((clip.image, "webp"), (clip.audio, "ogg")):
            if path and path not in made:
                target = out / suffix / f"{len(made):06d}.{suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                if suffix == "webp":
                    _picture(path, target, side)
                else:
                    _sound(path, target, rate)
                made[path] = str(target)
        image, audio = (path and made[path] for path in (clip.image, clip.audio))
        clips.append(dataclasses.replace(clip, image=image, audio=audio))
    write_index(out / "index.jsonl", clips)
    total = sum(Path(path).stat().st_size for path in made.values())
    click.echo(f"{out}: {len(clips)} rows, {len(made)} files, {total / 1e6:.1f} MB")


def _picture(path: str, target: Path, side: int) -> None:
    pixels = read_image(path)
    scale = min(1.0, side / min(pixels.shape[:2]))
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), pixels[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])


def _sound(path: str, target: Path, rate: int) -> None:
    samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if own != rate:
        mono = soxr.resample(mono, own, rate)
    soundfile.write(target, mono, rate, format="OGG", subtype="VORBIS")


if __name__ == "__main__":
    main()
