"""The sounds and pictures of a folder, and what must be known of them without listening."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from echoes_rt.errors import InputError
from echoes_rt.io.audio import read_sound

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SILENT_RMS_DBFS = -60.0


@dataclass(frozen=True, kw_only=True)
class SoundFile:
    path: Path
    sample_rate: int
    duration_s: float

    @property
    def is_silent(self) -> bool:
        samples, _ = read_sound(self.path)
        power = float(np.square(samples, dtype=np.float64).mean())
        return bool(10 * np.log10(power + 1e-30) < SILENT_RMS_DBFS)


def list_sounds(folder: Path) -> list[SoundFile]:
    """Sorted by name.

    Raises:
        InputError: if one cannot be read, or two have one name.
    """
    return [_sound_file(path) for path in _files(folder, SOUND_SUFFIXES)]


def list_pictures(folder: Path) -> list[Path]:
    """Sorted by name; as ``list_sounds``."""
    return _files(folder, PICTURE_SUFFIXES)


def _files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    files = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in suffixes),
        key=lambda path: path.stem,
    )
    for first, second in itertools.pairwise(files):
        if first.stem == second.stem:
            raise InputError(
                f"{first} and {second.name} have one name, and names tell which files belong "
                "together; rename or move one"
            )
    return files


def _sound_file(path: Path) -> SoundFile:
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path} is not a sound that can be read: {error}") from error
    return SoundFile(
        path=path, sample_rate=info.samplerate, duration_s=info.frames / info.samplerate
    )
