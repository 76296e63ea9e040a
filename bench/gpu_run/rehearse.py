"""``python -m bench.gpu_run.rehearse WORK``: packs, then runs all stages from the packed folders.

With the smallest preset that has mini's codecs, whose teacher must be installed, and, but for
``--wheels``, this machine's own packages. What a stage needs a GPU for, it leaves out; a stage that
fails makes this fail.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import soundfile

from bench.gpu_run import pack
from bench.gpu_run.stage import receive
from echoes_training.data.index import Clip, Split, write_index

SPLITS: tuple[Split, ...] = ("train", "train", "train", "validation")
SECONDS = 3600
PATIENCE = 10
"""A CPU is slow and may be busy; whether all fits into a GPU's minutes only a GPU tells."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_run.rehearse", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--wheels", action="store_true", help="Pack the wheels, too: minutes.")
    given = parser.parse_args(arguments)
    work: Path = given.work.resolve()
    media = make_media(work / "media")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    options = ["--python", python] if given.wheels else ["--no-wheels"]
    pack.main([str(work / "pieces"), "--work", str(work / "pack"), "--data", str(media), *options])
    first, *others = sorted((work / "pieces").iterdir(), key=lambda path: int(path.name))
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)  # an older checkout's files
    for folder in others:
        receive(folder, home)
    ended = []
    for number in (1, 2, 3):
        pieces = first if number == 1 else "-"
        script = home / "stage.py" if number > 1 else first / "stage.py"
        command = [sys.executable, str(script), str(number), str(SECONDS), str(pieces), str(home)]
        command += ["--preset", "edge-tiny", "--large", "edge-tiny", "--steps", "3"]
        done = subprocess.run([*command, "--patience", str(PATIENCE)], check=False)
        ended.append(done.returncode)
    return max(ended)


def make_media(folder: Path) -> Path:
    """A folder with some pictures and sounds of two labels, and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    clips = []
    for number in range(16):
        label, split = ("low", "high")[number % 2], SPLITS[number // 2 % 4]
        image, audio = folder / f"{number}.png", folder / f"{number}.wav"
        cv2.imwrite(str(image), rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        tone = np.sin(np.arange(44_100) * (0.05 if label == "low" else 0.3))
        soundfile.write(audio, 0.3 * tone + 0.01 * rng.standard_normal(44_100), 22_050)
        clips.append(
            Clip(
                image=str(image),
                audio=str(audio),
                label=label,
                category=label,
                split=split,
                licence="CC0 1.0",
                source="pairs",
            )
        )
    write_index(folder / "index.jsonl", clips)
    return folder


if __name__ == "__main__":
    sys.exit(main())
