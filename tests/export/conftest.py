"""Four tiny runs with random weights, an index of real files, and the bundle made of them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from tests.training.runs import clip, saved

from echoes_export.bundle.models import Models, random_models
from echoes_export.cli import main
from echoes_training.data.index import write_index
from echoes_training.models.confidence import Confidence, ConfidenceConfig
from echoes_training.presets import PRESETS
from echoes_training.stages.codecs import TrainedCodec
from echoes_training.stages.confidence import Measured, save_confidence

TINY = PRESETS["tiny"]
Export = Callable[..., Result]


@pytest.fixture(scope="session")
def export() -> Export:
    """Runs echoes-export; a run is given as ``image_codec=folder``."""
    torch.set_num_threads(1)

    def invoke(*arguments: object, **runs: Path) -> Result:
        options = [
            text for name, run in runs.items() for text in (f"--{name.replace('_', '-')}", run)
        ]
        return CliRunner().invoke(main, [str(a) for a in (*arguments, *options)])

    return invoke


@pytest.fixture(scope="session")
def models() -> Models:
    return random_models(TINY, seed=0)


@pytest.fixture(scope="session")
def runs(models: Models, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What training leaves, without the training."""
    folder = tmp_path_factory.mktemp("runs")
    for name, module in models.modules.items():
        file = "codec" if name.endswith("codec") else name
        saved(folder / name, name, getattr(TINY, name), **{file: module})
    return {name: folder / name for name in models.modules}


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three held-out pictures and sounds of two labels, one of which has no sound."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    clips = []
    kinds = (("bell", "hand bell"), ("bell", "church bell"), ("silence", "silence"))
    for i, (label, category) in enumerate(kinds):
        image, audio = str(folder / f"{i}.png"), str(folder / f"{i}.wav")
        cv2.imwrite(image, rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
        soundfile.write(audio, rng.normal(0, 0.1, TINY.mel.n_samples), TINY.mel.sample_rate)
        clips.append(clip(image=image, label=label, category=category, split="heldout"))
        clips.append(clip(audio=audio, label="bell", split="heldout"))
    write_index(folder / "index.jsonl", clips)
    return folder / "index.jsonl"


@pytest.fixture(scope="session")
def write_head() -> Callable[[Path, Models], Confidence]:
    """Writes a head of random weights for the picture codec of ``models``."""

    def write(path: Path, models: Models) -> Confidence:
        codec = TrainedCodec(model=models.image_codec, image=models.image, mel=models.mel)
        n_features = models.image_codec.codebook.shape[1]
        torch.manual_seed(0)
        head = Confidence(ConfidenceConfig(n_features=n_features, n_known=3, n_others=2))
        with torch.no_grad():
            head.linear.weight.mul_(4)  # else all pictures are about as well known
        nothing = Measured(n_pictures={}, refused={}, auroc={})
        save_confidence(path, head.eval().requires_grad_(False), codec, nothing)
        return head

    return write


@pytest.fixture(scope="session")
def exported(
    export: Export,
    runs: dict[str, Path],
    models: Models,
    index: Path,
    write_head: Callable[[Path, Models], Confidence],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    """The bundle, and what the command said."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    write_head(out.with_name("confidence.safetensors"), models)
    result = export(
        *("bundle", "--index", index, "--out", out, "--name", "echoes-test"),
        *("--confidence", out.with_name("confidence.safetensors")),
        *("--sampling", "steps=3", "--sampling", "guidance_scale=1.5"),
        *("--sampling", "guidance_interval=0,0.75"),
        **runs,
    )
    assert result.exit_code == 0, result.output
    return out, result.stdout


@pytest.fixture(scope="session")
def bundle_path(exported: tuple[Path, str]) -> Path:
    return exported[0]
