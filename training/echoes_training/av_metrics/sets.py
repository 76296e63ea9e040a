"""A folder as the metrics see it: its media, and the features of every embedder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_training.av_metrics import features as stored
from echoes_training.av_metrics.embedder import Embedder
from echoes_training.av_metrics.features import Features, make_features, read_caches
from echoes_training.av_metrics.media import SoundFile, media_files


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


def read_set(
    folder: Path, medium: str, embedders: Sequence[Embedder], clip_s: float, cache: Path | None
) -> MediaSet:
    """Of ``sound`` or ``picture``.

    Args:
        folder: with media, features or both.
        medium: of the files that count.
        embedders: of both media; only those of the folder's medium are used.
        clip_s: seconds of each sound.
        cache: where features of earlier runs are kept; None keeps none.

    Raises:
        InputError: if the folder has no features and nothing to make them of.
    """
    files = media_files(folder, medium)
    sounds = [SoundFile.of(path) for path in files] if medium == "sound" else []
    known = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in stored.SUFFIXES]
    features = {path.stem: stored.read_features(path) for path in known}
    features |= read_caches(folder, medium)
    mine = [embedder for embedder in embedders if embedder.spec.medium == medium]
    if files:
        features |= {e.spec.name: _embedded(folder, files, e, clip_s, cache) for e in mine}
    if not features:
        raise InputError(
            f"{folder} has {len(files)} {medium}s and no embeddings; give an --embedder of "
            f"{medium}s, or a folder of .npz, .safetensors or av-benchmark's caches"
        )
    return MediaSet(folder=folder, sounds=sounds, features=features)


def pictures_beside(reference: Path) -> MediaSet | None:
    """What av-benchmark left of the videos among the caches of the reference, if anything."""
    features = read_caches(reference, "picture")
    return MediaSet(folder=reference, sounds=[], features=features) if features else None


def _embedded(
    folder: Path, files: list[Path], embedder: Embedder, clip_s: float, cache: Path | None
) -> Features:
    spec = embedder.spec
    origin = {**embedder.origin, "n_files": str(len(files))}
    if spec.medium == "sound":
        origin["clip_s"] = f"{clip_s:g}"
    kept = None
    if cache is not None:
        kept = cache / f"{spec.name}-{spec.medium}-{_key(origin, files)}.safetensors"
        if kept.is_file():
            return stored.read_features(kept)
    bar = tqdm(files, desc=spec.name, unit=spec.medium, mininterval=1)
    found = {path.stem: embedder.embed(path, clip_s) for path in bar}
    embeddings, logits = (
        {name: outputs[kind] for name, outputs in found.items() if kind in outputs}
        for kind in stored.KINDS
    )
    features = make_features(f"{spec.name} of {folder}", embeddings, logits, origin)
    if kept is not None:
        stored.write_features(kept, features)
    return features


def _key(origin: dict[str, str], files: list[Path]) -> str:
    """Changes with the network, its settings, and every file."""
    parts = [f"{name}={value}" for name, value in sorted(origin.items())]
    for path in files:
        status = path.stat()
        parts.append(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
