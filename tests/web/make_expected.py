"""Writes what the Python runtime gives: python tests/web/make_expected.py BUNDLE OUT [SEEDS].

The browser's tests hold themselves to it; it is made anew each time, so that it cannot be stale.
"""

import base64
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.manifests import TEXTS, text_of

from echoes_rt.format.image import ImageSpec
from echoes_rt.io.audio import write_audio
from echoes_rt.io.image import normalise, resize
from echoes_rt.pipeline import Echoes
from echoes_rt.results import Picture, Sound
from echoes_rt.tasks.call import Call
from echoes_rt.tasks.stream import stream

PictureAt = Callable[[float], np.ndarray]
Made = tuple[list[Any], np.ndarray | None]
"""Codes, and samples where there are any."""

SIZES = [(1, 1), (2, 3), (31, 47), (32, 32), (33, 33), (40, 48), (64, 64), (96, 130), (128, 96)]
SIZES += [(301, 199), (77, 500)]

SPECS = {"square": ImageSpec(height=32, width=32), "wide": ImageSpec(height=20, width=33)}

OPTIONS: list[dict[str, Any]] = [
    {"steps": 1},
    {"steps": 1000},  # more than are unknown
    {"steps": 8, "temperature": 0.0},
    {"steps": 5, "temperature": 0.7},
    {"guidance_scale": 1.0},
    {"guidance_scale": 6.5, "guidance_schedule": "annealed"},
    {"guidance_scale": 3.0, "guidance_interval": (0.25, 0.75)},
]


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def picture(height: int, width: int) -> np.ndarray:
    """Soft colours with some noise, from the size alone."""
    y, x = np.mgrid[:height, :width]
    soft = [127 + 90 * np.sin(x / 9 + c) + 30 * np.cos(y / 7 - c) for c in range(3)]
    noise = np.random.default_rng(height * 1000 + width).integers(-8, 9, (height, width, 3))
    return np.clip(np.stack(soft, axis=2) + noise, 0, 255).astype(np.uint8)


def sound(n_samples: int, rate: int) -> np.ndarray:
    """A falling tone in noise."""
    t = np.arange(n_samples) / rate
    tone = 0.5 * np.sin(2 * np.pi * (900 - 2000 * t) * t) * np.exp(-3 * t)
    noise = np.random.default_rng(0).standard_normal(n_samples)
    return np.asarray(tone + 0.02 * noise, dtype=np.float32)


def pictures() -> list[dict[str, Any]]:
    cases = []
    for name, spec in SPECS.items():
        for height, width in SIZES:
            rgb = picture(height, width)
            small = resize(rgb, spec)
            cases.append(
                {
                    "spec": name,
                    "height": height,
                    "width": width,
                    "rgb": packed(rgb),
                    "resized": packed(small),
                    "normal": packed(normalise(small, spec)),
                }
            )
    return cases


def wav() -> dict[str, Any]:
    samples = np.linspace(-1, 1, 1001, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = write_audio(Path(folder) / "a.wav", samples, 22_050)
        return {"samples": packed(samples), "file": packed(np.frombuffer(path.read_bytes(), "u1"))}


def inpainted(echoes: Echoes, samples: np.ndarray, part: tuple[float, float], seed: int) -> Any:
    return echoes.inpaint(samples, start=part[0], stop=part[1], seed=seed)


def extended(
    echoes: Echoes, samples: np.ndarray, more_s: float, seed: int, image: np.ndarray | None = None
) -> Sound:
    return echoes.continue_(samples, duration=more_s, image=image, seed=seed)


def streamed(
    echoes: Echoes, picture_at: PictureAt, duration: float, seed: int, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The last window's codes and all samples of a stream."""
    windows: list[np.ndarray] = []
    call = Call.of(echoes, {"seed": seed, **options})
    n_samples = round(duration * echoes.manifest.mel.sample_rate)
    chunks = stream(
        call,
        lambda second: echoes.encode_image(picture_at(second)),
        n_samples,
        on_window=windows.append,
    )
    samples = np.concatenate([*chunks])
    return windows[-1], samples


def long_sounds(echoes: Echoes, rgb: np.ndarray, samples: np.ndarray) -> dict[str, Any]:
    """What is asked for once, not for every seed."""
    clip_s = echoes.manifest.mel.duration_s
    other = picture(77, 500)
    short = extended(echoes, samples[:50], 0.7 * clip_s, 3, rgb)
    changing = streamed(echoes, lambda s: rgb if s < 1.5 * clip_s else other, 4 * clip_s, 3)
    options = {"steps": 24, "guidance_scale": 6.5, "guidance_schedule": "annealed"}
    with_options = streamed(echoes, lambda _: rgb, 2 * clip_s, 3, **options)
    return {
        "other": {"height": 77, "width": 500, "rgb": packed(other)},
        "options": options,
        "short": {"codes": short.codes.tolist(), "samples": packed(short.samples[:, 0])},
        **{
            name: {"codes": codes.tolist(), "samples": packed(made)}
            for name, (codes, made) in (("changing", changing), ("with_options", with_options))
        },
    }


@dataclass(frozen=True, kw_only=True)
class Media:
    """What every task is asked about."""

    rgb: np.ndarray
    samples: np.ndarray
    part: tuple[float, float]
    hidden: np.ndarray

    @classmethod
    def of(cls, echoes: Echoes) -> "Media":
        mel = echoes.manifest.mel
        hidden = np.zeros((96, 130, 3), dtype=np.uint8)
        hidden[30:70, 20:60] = 255
        return cls(
            rgb=picture(96, 130),
            samples=sound(mel.n_samples + 700, mel.sample_rate),
            part=(0.2 * mel.duration_s, 0.5 * mel.duration_s),
            hidden=hidden,
        )


def tasks(echoes: Echoes, media: Media) -> dict[str, Callable[[int], Made]]:
    """What each task makes with a seed, by the browser's names."""
    rgb, samples, clip_s = media.rgb, media.samples, echoes.manifest.mel.duration_s

    def one(made: Sound | Picture) -> Made:
        return made.codes.tolist(), made.samples if isinstance(made, Sound) else None

    def cogenerate(seed: int) -> Made:
        heard, seen = echoes.cogenerate(seed=seed)
        return [heard.codes.tolist(), seen.codes.tolist()], heard.samples

    def streams(seed: int) -> Made:
        codes, made = streamed(echoes, lambda _: rgb, 2.5 * clip_s, seed)
        return codes.tolist(), made

    return {
        "imageToAudio": lambda seed: one(echoes.image_to_audio(rgb, seed=seed)),
        "audioToImage": lambda seed: one(echoes.audio_to_image(samples, seed=seed)),
        "cogenerate": cogenerate,
        "varyAudio": lambda seed: one(echoes.vary(samples, keep=0.6, seed=seed)),
        "varyImage": lambda seed: one(echoes.vary(rgb, keep=0.4, seed=seed)),
        "continueAudio": lambda seed: one(extended(echoes, samples, 1.2 * clip_s, seed)),
        "stream": streams,
        "inpaintAudio": lambda seed: one(inpainted(echoes, samples, media.part, seed)),
        "inpaintImage": lambda seed: one(echoes.inpaint_image(rgb, media.hidden, seed=seed)),
    }


def run(tasks: dict[str, Callable[[int], Made]], seed: int) -> dict[str, Any]:
    made = {name: task(seed) for name, task in tasks.items()}
    heard = {name: packed(samples) for name, (_, samples) in made.items() if samples is not None}
    return {
        "seed": str(seed),
        **{name: codes for name, (codes, _) in made.items()},
        "waveforms": heard,
    }


def answers(echoes: Echoes, seeds: int) -> dict[str, Any]:
    media = Media.of(echoes)
    rgb, samples = media.rgb, media.samples
    asked = tasks(echoes, media)
    return {
        "image": {"height": 96, "width": 130, "rgb": packed(rgb)},
        "hidden": packed((media.hidden[..., 0] > 127).astype(np.uint8)),
        "samples": packed(samples),
        "part": media.part,
        "clip_s": echoes.manifest.mel.duration_s,
        "long": long_sounds(echoes, rgb, samples),
        "image_codes": echoes.encode_image(rgb)[0].tolist(),
        "audio_codes": echoes.encode_audio(samples)[0].tolist(),
        "mel": packed(echoes.log_mel(samples[None])[0]),
        "runs": [run(asked, seed) for seed in [*range(seeds - 1), 2**64 - 1]],
        "pixels": packed(echoes.audio_to_image(samples, seed=5).pixels),
        "options": [
            {
                "options": options,
                "codes": echoes.image_to_audio(rgb, seed=7, **options).codes.tolist(),
            }
            for options in OPTIONS
        ],
    }


def main(bundle: str, out: str, seeds: str = "50") -> None:
    echoes = Echoes.load(bundle)
    expected = {
        "texts": [
            {
                "shown": json.dumps(case)[:70],
                "is_read": case["is_read"],
                "bytes": packed(np.frombuffer(text_of(case), "u1")),
            }
            for case in TEXTS
        ],
        "pictures": pictures(),
        "specs": {name: [spec.height, spec.width] for name, spec in SPECS.items()},
        "wav": wav(),
        "answers": answers(echoes, int(seeds)),
    }
    Path(out).write_text(json.dumps(expected), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
