"""Which codecs a transformer reads the codes of: their codebooks are kept with its run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training import checkpoint
from echoes_training.bundles import Source
from echoes_training.data.tokens import TokenCache
from echoes_training.models.codec import Codec
from echoes_training.stages.codecs import codecs_of_bundle

Codebooks = Mapping[str, NDArray[np.float32]]
"""Those of ``image`` and ``audio``."""

FILE = "codebooks.safetensors"

TOLERANCE = 2e-3
"""Of the largest value: bundles store weights in 16 bits, and devices normalise not quite alike.
The codebooks of two trainings, or of two moments of one, differ by much more."""


def of_cache(cache: TokenCache) -> Codebooks:
    return {"image": cache.image_codebook, "audio": cache.audio_codebook}


def of_codecs(image: Codec, audio: Codec) -> Codebooks:
    codecs = {"image": image, "audio": audio}
    return {name: codec.codebook.detach().cpu().numpy() for name, codec in codecs.items()}


def of_run(run: Path) -> Codebooks:
    """Empty for the runs of older versions, which kept none."""
    path = run / FILE
    return load_file(path) if path.is_file() else {}


def of_source(source: Source) -> Codebooks:
    """As the transformer of a run or bundle reads them."""
    if source.bundle is None:
        return of_run(source.folder)
    image, mel = codecs_of_bundle(source)
    return of_codecs(image.model, mel.model)


def keep(run: Path, codebooks: Codebooks) -> None:
    """Writes them into the run's folder, complete or not at all."""
    with written(run / FILE) as partial:
        save_file(dict(codebooks), partial)


def others(ours: Codebooks, theirs: Codebooks) -> list[str]:
    """The media whose codebooks are not the same; one that is not known is taken to be."""
    both = [name for name in ours if name in theirs]
    return [name for name in both if not _same(ours[name], theirs[name])]


def check_tokens(tokens: Path, cache: TokenCache, run: Path, start: Source | None) -> None:
    """Raises InputError unless the codes are those that ``run`` goes on with or starts from."""
    readers = {} if start is None else {start.place: of_source(start)}
    if checkpoint.newest(run) is not None:
        readers[str(run)] = of_run(run)
    for place, codebooks in readers.items():
        for medium in others(of_cache(cache), codebooks):
            raise InputError(
                f"the {medium} codes of {tokens} were not made by the codec that the transformer "
                f"of {place} reads; run echoes-train tokenize with that codec"
            )


def _same(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max() <= TOLERANCE * np.abs(a).max())
