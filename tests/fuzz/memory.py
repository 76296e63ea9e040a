"""Generates and loads over and over in one process; status 1 if its memory grows. Needs Linux."""

import argparse
import gc
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.fuzz.kinds import TINY_BUNDLE

from echoes_rt import Echoes

MAX_BYTES = 1000
"""How much more memory a call may leave, of what the system counts in pages."""


def growth(call: Callable[[int], None], count: int) -> float:
    """Bytes a call, by the line through the memory after each call of the last three quarters."""
    held = []
    for turn in range(count):
        call(turn)
        held.append(_resident_bytes())
    settled = held[count // 4 :]
    return float(np.polyfit(np.arange(len(settled)), settled, 1)[0])


def generations(folder: Path) -> Callable[[int], None]:
    """Each call is one of all kinds of generations."""
    echoes = _load()
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    sound = str(echoes.generate(picture, seed=0).save(folder / "in.wav"))
    kinds: list[Callable[[int], object]] = [
        lambda seed: echoes.generate(picture, seed=seed).save(folder / "a.wav"),
        lambda seed: echoes.generate(sound, seed=seed).save(folder / "a.png"),
        lambda seed: echoes.generate(folder / "a.png", seed=seed).save(folder / "a.ogg"),
        lambda seed: echoes.vary(sound, seed=seed).save(folder / "a.flac"),
        lambda seed: sum(map(len, echoes.stream(picture, duration=0.3, seed=seed))),
    ]
    return lambda turn: kinds[turn % len(kinds)](turn) and None


def loads(turn: int) -> None:
    """Loads the bundle, and every fourth time generates."""
    echoes = _load()
    if turn % 4 == 0:
        echoes.generate(np.zeros((40, 50, 3), np.uint8), seed=turn)
    else:
        echoes.prepare("vocoder", "mel_decoder")
    del echoes
    gc.collect()


def _load() -> Echoes:
    return Echoes.load(TINY_BUNDLE, device="cpu", threads=1)


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.memory", description=__doc__)
    parser.add_argument("--generations", type=int, default=1000)
    parser.add_argument("--loads", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        grown = {
            f"{asked.generations} generations": growth(
                generations(Path(folder)), asked.generations
            ),
            f"{asked.loads} loads": growth(loads, asked.loads),
        }
    for what, bytes_a_call in grown.items():
        print(f"{what}: {bytes_a_call:+.0f} bytes a call")  # noqa: T201
    return 1 if max(grown.values()) > MAX_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
