"""Runs av-benchmark's and SpecVQGAN's own metrics beside ours, on the same random arrays.

``python tests/parity/compare_metrics.py CLONES`` prints one row per number. CLONES is a folder with
clones of hkchengrex/av-benchmark and v-iashin/SpecVQGAN under their repositories' names; their
code is imported from there, nothing of it is here. Needs the training extra and scipy; with
torchaudio, which av-benchmark resamples by, resampling is compared as well.
"""

import contextlib
import importlib.util
import io
import json
import runpy
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from click.testing import CliRunner

from echoes_training.av_metrics.divergence import kl_sigmoid, kl_specvqgan
from echoes_training.av_metrics.media import resample
from echoes_training.cli import main as echoes_train

LIMIT = 1e-4
"""Relative: av-benchmark computes KL in single precision."""

Row = tuple[str, float, float]


def arrays(seed: int, n: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((n, size)) @ rng.standard_normal((size, size)) / np.sqrt(size)
    return np.asarray(mixed + 0.1 * seed, dtype=np.float32)


def divergences(clones: Path) -> Iterator[Row]:
    from av_bench.metrics import compute_kl  # type: ignore[import-not-found]

    made, real = 2 * arrays(3, 205, 527), 2 * arrays(4, 205, 527)
    theirs = compute_kl([torch.from_numpy(made)], torch.from_numpy(real))
    yield "KL, sigmoid", kl_sigmoid(real.astype(float), made.astype(float)), theirs["kl_sigmoid"]
    ours = kl_specvqgan(real.astype(float), made.astype(float))
    yield "KL with SpecVQGAN's floor", ours, by_specvqgan(clones, made, real)


def by_specvqgan(clones: Path, made: np.ndarray, real: np.ndarray) -> float:
    """Its KL of logits, whose rows it finds by the files' names."""
    code = runpy.run_path(str(clones / "SpecVQGAN" / "evaluation" / "metrics" / "kl.py"))
    sides = [
        {
            "logits": torch.from_numpy(logits),
            "file_path_": [f"clip{i}{end}_mel.npy" for i in range(len(logits))],
        }
        for logits, end in ((made, "_sample_0"), (real, ""))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        found = code["calculate_kl"](*sides, "logits", "vggsound")
    return float(found["kullback_leibler_divergence"])


N_CLIPS = 40


def write_caches(folder: Path, seed: int, medium: str) -> None:
    """As av-benchmark leaves them; the sizes are its networks', but for PANNs' 2048."""
    rng = np.random.default_rng(seed)

    def cache(name: str, *shape: int) -> dict[str, torch.Tensor]:
        # What all clips of both sides share, so that the cosines are not nearly 0.
        shift = np.random.default_rng(0).standard_normal(shape)
        values = {
            f"clip{i:02}": torch.from_numpy(
                (shift + 2 * rng.standard_normal(shape)).astype(np.float32)
            )
            for i in range(N_CLIPS)
        }
        torch.save(values, folder / name)
        return values

    cache("vggish_features.pth", 9, 128)
    cache("passt_features_embed.pth", 768)
    cache("passt_logits.pth", 527)
    cache(f"imagebind_{medium}.pth", 1024)
    embedding, logits = cache("pann_features.pth", 64), cache("pann_features.pth", 527)
    panns = {name: {"2048": embedding[name], "logits": logits[name]} for name in logits}
    torch.save(panns, folder / "pann_features.pth")


def by_av_benchmark(real: Path, made: Path, weights: Path) -> dict[str, float]:
    """Its whole ``evaluate``, without the network that judges synchrony, which is not compared."""

    class Synchformer(torch.nn.Module):
        """Nothing asks it without a cache of its own."""

    parts: dict[str, Any] = {"Synchformer": Synchformer, "make_class_grid": None}
    for name in ("av_bench.synchformer", "av_bench.synchformer.synchformer"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(parts)
    from av_bench import evaluate  # type: ignore[import-not-found]

    torch.save({}, weights)
    evaluate.device, evaluate._syncformer_ckpt_path = "cpu", weights
    found: dict[str, float] = evaluate.evaluate(real, made, skip_clap=True)
    return found


def reports(_: Path) -> Iterator[Row]:
    """av-benchmark's ``evaluate`` and ``echoes-train metrics``, on the same folders of caches."""
    with tempfile.TemporaryDirectory() as name:
        real, made, out = (Path(name) / part for part in ("real", "made", "metrics.json"))
        for folder, seed, medium in ((real, 5, "video"), (made, 6, "audio")):
            folder.mkdir()
            write_caches(folder, seed, medium)
        theirs = by_av_benchmark(real, made, Path(name) / "weights.pth")
        command = ["metrics", "--generated", made, "--reference", real, "--out", out]
        result = CliRunner().invoke(echoes_train, [str(part) for part in command])
        assert result.exit_code == 0, result.output
        ours = json.loads(out.read_text("utf-8"))
    inception = ours["inception"]
    for name, value in (
        ("FD-VGG", ours["frechet"]["vggish"]["value"]),
        ("FD-PANN", ours["frechet"]["panns"]["value"]),
        ("FD-PASST", ours["frechet"]["passt"]["value"]),
        ("KL-PANNS-softmax", ours["kl"]["panns"]["softmax"]),
        ("KL-PASST-softmax", ours["kl"]["passt"]["softmax"]),
        ("ISC-PANNS-mean", inception["panns"]["mean"]),
        ("ISC-PANNS-std", inception["panns"]["std"]),
        ("ISC-PASST-mean", inception["passt"]["mean"]),
        ("ISC-PASST-std", inception["passt"]["std"]),
        ("IB-Score", ours["score"]["imagebind"]["cosine"]),
    ):
        yield f"evaluate's {name}", value, theirs[name]


def resamplings(_: Path) -> Iterator[Row]:
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
    for rows in (divergences, reports, resamplings):
        for name, ours, theirs in rows(clones):
            difference = abs(ours - theirs) / abs(theirs)
            is_ok = is_ok and difference <= LIMIT
            verdict = "yes" if difference <= LIMIT else "NO"
            click.echo(f"{name:36} {ours:14.7f} {theirs:14.7f} {difference:9.1e}  {verdict}")
    sys.exit(0 if is_ok else 1)


if __name__ == "__main__":
    main()
