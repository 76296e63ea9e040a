"""Opens each medium once, so that a broken file is found before a training finds it."""

from pathlib import Path

import numpy as np
import soundfile

from echoes_rt.errors import InputError
from echoes_rt.io.image import read_image
from echoes_training.data.index import Clip


def fault(clip: Clip) -> str | None:
    """Why the clip cannot be used, or None if its media open."""
    reason = None
    if clip.image is not None:
        reason = _picture_fault(Path(clip.image))
    if reason is None and clip.audio is not None:
        reason = _sound_fault(Path(clip.audio), clip.start)
    return reason


def _picture_fault(path: Path) -> str | None:
    try:
        read_image(path)
    except InputError as error:
        return f"{path}: {error}"
    return None


def _sound_fault(path: Path, start: float) -> str | None:
    if not path.is_file():
        return f"{path}: No such file"
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        return f"{path}: {error}"
    if len(samples) <= start * rate:
        return f"{path}: ends after {len(samples) / rate:.2f} s, before its start of {start:g} s"
    return None if np.isfinite(samples).all() else f"{path}: holds samples that are not numbers"
