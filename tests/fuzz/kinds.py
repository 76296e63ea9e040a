"""What is mutated, and who must read it or refuse it in one sentence."""

import copy
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from tests.fuzz.mutate import mutated
from tests.manifests import put_graph

from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.session_start import SessionDials
from echoes_rt.bundle import Bundle
from echoes_rt.io.audio import read_audio, read_sound
from echoes_rt.io.image import read_image

TINY_BUNDLE = Path(__file__).parents[1] / "fixtures" / "tiny_bundle"

_PICTURES = (
    (".png", ()),
    (".jpg", ()),
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    (".webp", ()),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
    (".bmp", ()),
    *((suffix, ()) for suffix in (".gif", ".tiff", ".avif") if cv2.haveImageWriter(f"x{suffix}")),
)
_SOUNDS = (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("AIFF", "PCM_16"),
    ("AU", "ULAW"),
    ("MP3", "MPEG_LAYER_III"),
)


_DIALS = SessionDials(threads=1)

Run = Callable[[random.Random], object]
"""Writes a mutated file and reads it; raises EchoesError where it is refused.

Case ``i`` depends on the seed and ``i`` alone.
"""


def picture(folder: Path) -> Run:
    colours = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    layouts = [colours[..., :3], colours, colours[..., 0], colours.astype(np.uint16) * 257]
    files = [
        (suffix, cv2.imencode(suffix, pixels, options)[1].tobytes())
        for suffix, options in _PICTURES
        for pixels in (layouts if suffix == ".png" else layouts[:1])
    ]
    return lambda rng: read_image(_written(folder, files, rng))


def sound(folder: Path) -> Run:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (3000, 2)).astype(np.float32)
    files: list[tuple[str, bytes]] = []
    for container, encoding in _SOUNDS:
        if encoding in soundfile.available_subtypes(container):
            file = io.BytesIO()
            soundfile.write(file, samples, 22_050, format=container, subtype=encoding)
            files.append((f".{container.lower()}", file.getvalue()))

    def run(rng: random.Random) -> None:
        path = _written(folder, files, rng)
        if rng.random() < 0.5:
            read_sound(path)
        else:
            read_audio(path, 16_000, start_s=0.05, n_samples=500)

    return run


def _written(folder: Path, files: list[tuple[str, bytes]], rng: random.Random) -> Path:
    suffix, data = rng.choice(files)
    path = folder / f"a{suffix}"
    path.write_bytes(mutated(data, rng))
    return path


def manifest(folder: Path) -> Run:
    """The tiny bundle with another manifest, as a folder or, every third time, as a zip."""
    bundle = shutil.copytree(TINY_BUNDLE, folder / "bundle")
    text = (TINY_BUNDLE / "manifest.json").read_bytes()
    zipped = Path(shutil.make_archive(str(folder / "b"), "zip", TINY_BUNDLE)).read_bytes()

    def run(rng: random.Random) -> None:
        kind = rng.randrange(3)
        if kind == 0:
            (folder / "b.zip").write_bytes(mutated(zipped, rng))
            Bundle.open(folder / "b.zip")
        else:
            changed = mutated(text, rng) if kind == 1 else _edited(text, rng)
            (bundle / "manifest.json").write_bytes(changed)
            Bundle.open(bundle)

    return run


def _edited(text: bytes, rng: random.Random) -> bytes:
    """Valid JSON with values where they do not belong."""
    data = json.loads(text)
    for _ in range(rng.choice((1, 1, 3))):
        place: Any = data
        while place:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or rng.random() >= 0.8:
                # A copy: an edit may go into a value that the one before put there.
                place[key] = copy.deepcopy(rng.choice(_VALUES))
                break
            place = place[key]
    return json.dumps(data).encode("utf-8", "surrogatepass")


def graph(folder: Path) -> Run:
    """A graph of the tiny bundle, its checksum right, run on zeros."""
    bundle = shutil.copytree(TINY_BUNDLE, folder / "bundle")
    sessions = {p.stem: OnnxSession(p, "cpu", _DIALS) for p in sorted(bundle.glob("*.onnx"))}
    zeros = {
        name: {
            key: np.zeros([d if isinstance(d, int) else 2 for d in spec.shape], spec.dtype)
            for key, spec in session.inputs.items()
        }
        for name, session in sessions.items()
    }

    def run(rng: random.Random) -> None:
        name = rng.choice([*zeros])
        original = (TINY_BUNDLE / f"{name}.onnx").read_bytes()
        try:
            put_graph(bundle, name, mutated(original, rng, in_place=rng.random() < 0.7))
            OnnxSession(Bundle.open(bundle).graph_path(name), "cpu", _DIALS).run(zeros[name])
        finally:
            put_graph(bundle, name, original)

    return run


KINDS: dict[str, Callable[[Path], Run]] = {
    "picture": picture,
    "sound": sound,
    "manifest": manifest,
    "graph": graph,
}

_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    10**100,
    0.5,
    1e308,
    -0.0,
    "",
    "\x00",
    "\x1b[31m",
    "\ud800",
    "../x",
    "/etc/passwd",
    "manifest.json",
    "x" * 2000,
    [],
    {},
    [[]],
    {"": ""},
    ["a"] * 10_001,
)
