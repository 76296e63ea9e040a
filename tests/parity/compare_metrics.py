"""Runs av-benchmark's own metrics beside ours, on the same random arrays.

``python tests/parity/compare_metrics.py CLONES`` prints one row per number. CLONES is a folder with
a clone of hkchengrex/av-benchmark under its repository's name; its code is imported from there,
nothing of it is here. Needs the training extra and scipy; with torchaudio, which av-benchmark
resamples by, resampling is compared as well.
"""

import importlib.util
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch

from echoes_training.av_metrics.divergence import inception_score, kl_sigmoid, kl_softmax
from echoes_training.av_metrics.resampling import resample
from echoes_training.evaluate.frechet import fit_gaussian, frechet_distance

LIMIT = 1e-4
"""Relative: av-benchmark computes KL in single precision."""

Row = tuple[str, float, float]


def arrays(seed: int, n: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((n, size)) @ rng.standard_normal((size, size)) / np.sqrt(size)
    return np.asarray(mixed + 0.1 * seed, dtype=np.float32)


def distances() -> Iterator[Row]:
    from av_bench.metrics import compute_fd  # type: ignore[import-not-found]

    for name, n, size in (("VGGish", 900, 128), ("PaSST", 1000, 768), ("PaSST, N < D", 300, 768)):
        made, real = arrays(1, n, size), arrays(2, n + 10, size)
        ours = frechet_distance(fit_gaussian(real), fit_gaussian(made))
        yield f"Frechet distance, {name}'s size", ours, float(compute_fd(made, real))


def divergences() -> Iterator[Row]:
    from av_bench.metrics import compute_isc, compute_kl

    made, real = 2 * arrays(3, 205, 527), 2 * arrays(4, 205, 527)
    theirs = compute_kl([torch.from_numpy(made)], torch.from_numpy(real))
    yield "KL, softmax", kl_softmax(real.astype(float), made.astype(float)), theirs["kl_softmax"]
    yield "KL, sigmoid", kl_sigmoid(real.astype(float), made.astype(float)), theirs["kl_sigmoid"]
    options = {"rng_seed": 2020, "samples_shuffle": True, "splits": 10}
    scores = compute_isc(torch.from_numpy(made), feat_layer_name=None, **options)
    mean, deviation = inception_score(made.astype(float))
    yield "inception score, mean", mean, scores["inception_score_mean"]
    yield "inception score, deviation", deviation, scores["inception_score_std"]


def resamplings() -> Iterator[Row]:
    """The largest difference of a sample, added to 1 so that it can be compared relatively."""
    if importlib.util.find_spec("torchaudio") is None:
        return
    from torchaudio.transforms import Resample  # type: ignore[import-not-found]

    samples = np.random.default_rng(0).standard_normal(30_001).astype(np.float32)
    for old, new in ((44_100, 16_000), (22_050, 32_000), (48_000, 32_000), (16_000, 44_100)):
        theirs = Resample(old, new)(torch.from_numpy(samples)).numpy()
        ours = resample(samples, old, new)
        assert ours.shape == theirs.shape
        yield f"resampling, {old} to {new} Hz", 1 + float(np.abs(ours - theirs).max()), 1.0


@click.command()
@click.argument("clones", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(clones: Path) -> None:
    """Exit with 1 if a number differs."""
    sys.path.insert(0, str(clones / "av-benchmark"))
    warnings.simplefilter("ignore", DeprecationWarning)  # of scipy's sqrtm, as it is called there
    is_ok = True
    for rows in (distances, divergences, resamplings):
        for name, ours, theirs in rows():
            difference = abs(ours - theirs) / abs(theirs)
            is_ok = is_ok and difference <= LIMIT
            verdict = "yes" if difference <= LIMIT else "NO"
            click.echo(f"{name:36} {ours:14.7f} {theirs:14.7f} {difference:9.1e}  {verdict}")
    sys.exit(0 if is_ok else 1)


if __name__ == "__main__":
    main()
