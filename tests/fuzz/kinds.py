"""What is mutated, and who must read it or refuse it in one sentence."""

import copy
import hashlib
import io
import json
import random
import shutil
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from tests.fuzz.mutate import mutated

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


class Kind(ABC):
    """Case ``i`` depends on the seed and ``i`` alone."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is empty, and holds what is read."""
        self.folder = folder

    @abstractmethod
    def run(self, rng: random.Random) -> None:
        """Writes a mutated file and reads it; raises EchoesError where it is refused."""


class Picture(Kind):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        colours = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
        layouts = [colours[..., :3], colours, colours[..., 0], colours.astype(np.uint16) * 257]
        self.files: list[tuple[str, bytes]] = []
        for suffix, options in _PICTURES:
            for pixels in layouts if suffix == ".png" else layouts[:1]:
                self.files.append((suffix, cv2.imencode(suffix, pixels, options)[1].tobytes()))

    def run(self, rng: random.Random) -> None:
        suffix, data = rng.choice(self.files)
        path = self.folder / f"a{suffix}"
        path.write_bytes(mutated(data, rng))
        read_image(path)


class Sound(Kind):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, (3000, 2)).astype(np.float32)
        self.files: list[tuple[str, bytes]] = []
        for container, encoding in _SOUNDS:
            if encoding in soundfile.available_subtypes(container):
                file = io.BytesIO()
                soundfile.write(file, samples, 22_050, format=container, subtype=encoding)
                self.files.append((container.lower(), file.getvalue()))

    def run(self, rng: random.Random) -> None:
        suffix, data = rng.choice(self.files)
        path = self.folder / f"a.{suffix}"
        path.write_bytes(mutated(data, rng))
        if rng.random() < 0.5:
            read_sound(path)
        else:
            read_audio(path, 16_000, start_s=0.05, n_samples=500)


class Manifest(Kind):
    """The tiny bundle with another manifest, as a folder or, every other time, as a zip."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bundle = shutil.copytree(TINY_BUNDLE, folder / "bundle")
        self.text = (TINY_BUNDLE / "manifest.json").read_bytes()
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in TINY_BUNDLE.iterdir():
                archive.write(part, part.name)
        self.zip = file.getvalue()

    def run(self, rng: random.Random) -> None:
        kind = rng.randrange(3)
        if kind == 0:
            (self.folder / "b.zip").write_bytes(mutated(self.zip, rng))
            Bundle.open(self.folder / "b.zip")
            return
        text = mutated(self.text, rng) if kind == 1 else self._edited(rng)
        (self.bundle / "manifest.json").write_bytes(text)
        Bundle.open(self.bundle)

    def _edited(self, rng: random.Random) -> bytes:
        """Valid JSON with values where they do not belong."""
        data = json.loads(self.text)
        for _ in range(rng.choice((1, 1, 3))):
            place: Any = data
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                if not keys:
                    break
                key = rng.choice(keys)
                if isinstance(place[key], dict | list) and rng.random() < 0.8:
                    place = place[key]
                    continue
                # A copy: an edit may go into a value that the one before put there.
                place[key] = copy.deepcopy(rng.choice(_VALUES))
                break
        return json.dumps(data).encode("utf-8", "surrogatepass")


class Graph(Kind):
    """A graph of the tiny bundle, its checksum right, run on zeros."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bundle = shutil.copytree(TINY_BUNDLE, folder / "bundle")
        self.manifest = json.loads((TINY_BUNDLE / "manifest.json").read_text("utf-8"))
        self.zeros = {name: self._zeros(name) for name in self.manifest["graphs"]}

    def run(self, rng: random.Random) -> None:
        name = rng.choice(sorted(self.manifest["graphs"]))
        entry = self.manifest["graphs"][name]
        original = (TINY_BUNDLE / entry["file"]).read_bytes()
        data = mutated(original, rng, in_place=rng.random() < 0.7)
        try:
            (self.bundle / entry["file"]).write_bytes(data)
            changed = entry | {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            graphs = self.manifest["graphs"] | {name: changed}
            text = json.dumps(self.manifest | {"graphs": graphs})
            (self.bundle / "manifest.json").write_text(text, "utf-8")
            bundle = Bundle.open(self.bundle)
            OnnxSession(bundle.graph_path(name), "cpu", _DIALS).run(self.zeros[name])
        finally:
            (self.bundle / entry["file"]).write_bytes(original)

    def _zeros(self, name: str) -> dict[str, Any]:
        """What the graph takes as it is in the tiny bundle."""
        inputs = OnnxSession(self.bundle / f"{name}.onnx", "cpu", _DIALS).inputs
        return {
            key: np.zeros([d if isinstance(d, int) else 2 for d in spec.shape], spec.dtype)
            for key, spec in inputs.items()
        }


KINDS: dict[str, type[Kind]] = {
    "picture": Picture,
    "sound": Sound,
    "manifest": Manifest,
    "graph": Graph,
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
