"""Writes a picture, a sound and what Python makes of them: python make_media.py BUNDLE FOLDER."""

import json
import sys
from pathlib import Path

import numpy as np
from make_expected import streamed

from echoes_rt.io.audio import write_audio
from echoes_rt.io.image import read_image, write_image
from echoes_rt.options import Options
from echoes_rt.pipeline import Echoes

SEEDS = (1, 2)
LONG_CLIPS = 1.5


def main(bundle: str, out: str) -> None:
    echoes = Echoes.load(bundle)
    folder = Path(out)
    y, x = np.mgrid[:200, :300]
    soft = [127 + 100 * np.sin(x / 40 + c) * np.cos(y / 31 - c) for c in range(3)]
    picture = write_image(folder / "picture.png", np.stack(soft, axis=2).astype(np.uint8))
    rate = echoes.manifest.mel.sample_rate
    t = np.arange(3 * rate) / rate
    bell = sum(np.sin(2 * np.pi * 440 * k * t) * np.exp(-2 * k * t) / k for k in (1, 2.76, 5.4))
    sound = write_audio(folder / "sound.wav", (0.4 * bell).astype(np.float32), rate)
    long_s = round(LONG_CLIPS * echoes.manifest.mel.duration_s, 2)
    few: Options = {"seed": SEEDS[0], "steps": 1}
    long, _ = streamed(echoes, lambda _: read_image(picture), long_s, SEEDS[0], steps=1)
    pairs = [echoes.cogenerate(seed=seed) for seed in SEEDS]
    expected = {
        "seeds": SEEDS,
        "imageToAudio": [echoes.generate(picture, seed=seed).codes.tolist() for seed in SEEDS],
        "audioToImage": [echoes.generate(sound, seed=seed).codes.tolist() for seed in SEEDS],
        "oneStep": {
            "imageToAudio": echoes.image_to_audio(picture, **few).codes.tolist(),
            "audioToImage": echoes.audio_to_image(sound, **few).codes.tolist(),
            "stream": long.tolist(),
        },
        "long_s": long_s,
        "cogenerate": [[heard.codes.tolist(), seen.codes.tolist()] for heard, seen in pairs],
    }
    (folder / "expected.json").write_text(json.dumps(expected), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
