"""The pictures that int8 scales are measured on, and those that engines are compared on."""

from pathlib import Path

from echoes_export.checks import Array
from echoes_export.precision.quantize_command import heldout_pictures
from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_rt.io.image import read_image
from echoes_training.data.index import read_index


def measured_pictures(files: tuple[Path, ...], index: Path | None, count: int) -> list[Array]:
    """The files, or training pictures of an index, from all over it.

    Raises:
        InputError: if there is neither, or the index has none.
    """
    if files:
        return [read_image(path) for path in files]
    if index is None:
        raise InputError("int8 needs pictures to measure on; give --picture or --index")
    clips = read_index(index)
    paths = [*dict.fromkeys(clip.image for clip in clips if clip.split == "train" and clip.image)]
    if not paths:
        raise InputError(f"{index} has no training picture")
    return [read_image(path) for path in paths[:: max(1, len(paths) // count)][:count]]


def compared_pictures(
    bundle: Bundle, files: tuple[Path, ...], index: Path | None, count: int
) -> list[Array]:
    """Held-out pictures of an index, else the files, else noise."""
    if files and index is None:
        return [read_image(path) for path in files]
    return heldout_pictures(bundle, index, count)
