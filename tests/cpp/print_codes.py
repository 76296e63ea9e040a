"""What cpp_bindings/tests/print_codes.cpp prints, made by the Python runtime."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from echoes_rt import Echoes, Picture, Sound
from echoes_rt.tasks.call import Call
from echoes_rt.tasks.stream import stream


def lines(echoes: Echoes, seeds: int, folder: Path) -> Iterator[str]:
    """One for each task, body of the loop and seed."""
    for seed in range(seeds):
        for body, dials in (("fused", {}), ("stepwise", {"on_step": lambda _step, _steps: True})):
            for task, codes in tasks(echoes, folder, {"seed": seed, **dials}).items():
                yield f"{task} {body} {seed} {' '.join(map(str, codes()))}"


def tasks(
    echoes: Echoes, folder: Path, options: dict[str, Any]
) -> dict[str, Callable[[], list[int]]]:
    clip_s = echoes.manifest.mel.duration_s
    image, sound = picture(), clip(echoes)
    path = folder / "clip.wav"
    if not path.exists():
        soundfile.write(path, sound, echoes.manifest.mel.sample_rate, subtype="FLOAT")
    part = {"start": clip_s / 4, "stop": clip_s / 2, "image": image}
    return {
        "image_to_audio": lambda: codes(echoes.image_to_audio(image, **options)),
        "audio_to_image": lambda: codes(echoes.audio_to_image(sound, **options)),
        "cogenerate": lambda: codes(*reversed(echoes.cogenerate(**options))),
        "inpaint": lambda: codes(echoes.inpaint(path, **part, **options)),
        "continue": lambda: codes(echoes.continue_(path, duration=clip_s, image=image, **options)),
        "vary_audio": lambda: codes(echoes.vary(sound, keep=0.5, **options)),
        "vary_image": lambda: codes(echoes.vary(image, keep=0.5, **options)),
        "stream": lambda: last_window(echoes, image, 2.5 * clip_s, options),
    }


def codes(*made: Sound | Picture) -> list[int]:
    return [code for one in made for code in one.codes.tolist()]


def last_window(
    echoes: Echoes, image: np.ndarray[Any, Any], duration: float, options: dict[str, Any]
) -> list[int]:
    """The codes of a stream's last window, by which every other one has its say."""
    n_samples = round(duration * echoes.manifest.mel.sample_rate)
    known = echoes.encode_image(image)
    windows: list[np.ndarray[Any, Any]] = []
    call = Call.of(echoes, options)  # type: ignore[arg-type]
    list(stream(call, lambda _: known, n_samples, on_window=windows.append))
    return [*windows[-1].tolist()]


def picture() -> np.ndarray[Any, Any]:
    i = np.arange(3 * 40 * 30)
    return ((i * 37 + i // 7) % 256).astype(np.uint8).reshape(30, 40, 3)


def clip(echoes: Echoes) -> np.ndarray[Any, Any]:
    i = np.arange(echoes.manifest.mel.n_samples)
    return ((i * i % 1009 - 504) / 1024).astype(np.float32)
