"""A folder as the metrics see it: its media, and the features of every embedder."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_training.av_metrics import av_benchmark_cache
from echoes_training.av_metrics.embedder import Embedder
from echoes_training.av_metrics.feature_files import SUFFIXES as FEATURE_SUFFIXES
from echoes_training.av_metrics.feature_files import read_features, write_features
from echoes_training.av_metrics.features import Features, make_features
from echoes_training.av_metrics.media_list import SoundFile, list_pictures, list_sounds


@dataclass(frozen=True, kw_only=True)
class MediaSet:
    """One side of a comparison.

    Attributes:
        sounds: empty if the folder holds features alone; of pictures always.
        features: by the embedder's name.
    """

    folder: Path
    sounds: list[SoundFile]
    features: dict[str, Features]

    @property
    def names(self) -> list[str]:
        """Of all files that any embedder knows."""
        return sorted({name for features in self.features.values() for name in features.names})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How media become features.

    Attributes:
        embedders: of both media; only those of the folder's medium are used.
        cache: where features of earlier runs are kept; None keeps none.
    """

    embedders: Sequence[Embedder]
    clip_s: float
    cache: Path | None


def read_set(folder: Path, medium: str, reading: Reading) -> MediaSet:
    """Of ``sound`` or ``picture``.

    Raises:
        InputError: if the folder has no features and nothing to make them of.
    """
    sounds = list_sounds(folder) if medium == "sound" else []
    files = list_pictures(folder) if medium == "picture" else [sound.path for sound in sounds]
    features = _stored(folder) | av_benchmark_cache.read_caches(folder, medium)
    features |= _made(folder, files, medium, reading)
    if not features:
        raise InputError(
            f"{folder} has {len(files)} {medium}s and no embeddings; give an --embedder of "
            f"{medium}s, or a folder of .npz, .safetensors or av-benchmark's caches"
        )
    return MediaSet(folder=folder, sounds=sounds, features=features)


def pictures_beside(reference: Path) -> MediaSet | None:
    """What av-benchmark left of the videos among the caches of the reference, if anything."""
    features = av_benchmark_cache.read_caches(reference, "picture")
    return MediaSet(folder=reference, sounds=[], features=features) if features else None


def _stored(folder: Path) -> dict[str, Features]:
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in FEATURE_SUFFIXES]
    return {path.stem: read_features(path) for path in paths}


def _made(folder: Path, files: list[Path], medium: str, reading: Reading) -> dict[str, Features]:
    if not files:
        return {}
    made = {}
    for embedder in reading.embedders:
        if embedder.medium == medium:
            made[embedder.name] = _embed_all(folder, files, embedder, reading)
    return made


def _embed_all(folder: Path, files: list[Path], embedder: Embedder, reading: Reading) -> Features:
    origin = {**embedder.origin, "n_files": str(len(files))}
    if embedder.medium == "sound":
        origin["clip_s"] = f"{reading.clip_s:g}"
    key = _key(origin, files)
    kept = None
    if reading.cache is not None:
        kept = reading.cache / f"{embedder.name}-{embedder.medium}-{key[:16]}.safetensors"
        if kept.is_file():
            return read_features(kept)
    found = dict(_outputs(files, embedder, reading.clip_s))
    features = make_features(
        f"{embedder.name} of {folder}",
        {name: out["embedding"] for name, out in found.items() if "embedding" in out},
        {name: out["logits"] for name, out in found.items() if "logits" in out},
        origin,
    )
    if kept is not None:
        write_features(kept, features)
    return features


def _outputs(
    files: list[Path], embedder: Embedder, clip_s: float
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for path in tqdm(files, desc=embedder.name, unit=embedder.medium, mininterval=1):
        yield path.stem, embedder.embed(path, clip_s)


def _key(origin: dict[str, str], files: list[Path]) -> str:
    """Changes with the network, its settings, and every file."""
    parts = [f"{name}={value}" for name, value in sorted(origin.items())]
    for path in files:
        status = path.stat()
        parts.append(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
