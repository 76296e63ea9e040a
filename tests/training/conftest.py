"""A small world of pictures and sounds in which the label can be seen and heard."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile
from tests.training import runs
from tests.training.runs import clip

from echoes_rt.format.mel import MelSpec
from echoes_training.data.index import Split, write_index
from echoes_training.evaluate.ear import N_MELS, PATCH
from echoes_training.presets import PRESETS

LABELS = ("low", "high")
SPLITS: tuple[Split, ...] = ("train",) * 4 + ("validation", "heldout")
PER_LABEL = len(SPLITS)


EAR_GROUPS: dict[str, Any] = {
    "peak": 0.9,
    "scale": 1.0,
    "heard": {
        "hum": {"family": "machines", "classes": ["Hum"], "bias": 0.0},
        "hiss": {"family": "machines", "classes": ["Hiss", "Steam"], "bias": 0.0},
        "nothing": {"family": "nothing", "classes": ["Silence"], "bias": 0.0},
    },
    "labels": {
        "low": {"heard_as": "hum", "family": "machines"},
        "high": {"heard_as": "hiss", "family": "machines"},
        "oddity": {"heard_as": None, "family": "machines"},
    },
}


class _Interpreter:
    """Stands for YAMNet: hum is low, steam is high, and else there is silence."""

    def __init__(self, model_path: str, num_threads: int) -> None:
        Path(model_path).read_bytes()

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, int]]:
        return [{"index": 0}]

    def get_output_details(self) -> list[dict[str, int]]:
        return [{"index": 1}]

    def set_tensor(self, index: int, patch: np.ndarray) -> None:
        assert patch.shape == (1, PATCH, N_MELS)
        self.patch = patch[0]

    def invoke(self) -> None: ...

    def get_tensor(self, index: int) -> np.ndarray:
        low, high = self.patch[:, : N_MELS // 2].max(), self.patch[:, N_MELS // 2 :].max()
        if max(low, high) < -3:
            return np.array([[0.01, 0.01, 0.01, 0.9]])
        return np.array([[0.9, 0.0, 0.1, 0.0] if low > high else [0.1, 0.0, 0.9, 0.0]])


@pytest.fixture
def ear_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ear that knows the labels of ``media_index``, and how well it does."""
    folder = tmp_path / "ear"
    folder.mkdir()
    package, module = ModuleType("ai_edge_litert"), ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = _Interpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", package)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    (folder / "groups.json").write_text(json.dumps(EAR_GROUPS), encoding="utf-8")
    names = "".join(f"{i},/m/{i},{n}\n" for i, n in enumerate(("Hum", "Hiss", "Steam", "Silence")))
    (folder / "yamnet_class_map.csv").write_text(
        "index,mid,display_name\n" + names, encoding="utf-8"
    )
    (folder / "yamnet_spectra_in.tflite").write_bytes(b"")
    return folder


def _picture(label: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.integers(0, 80, (40, 50, 3), dtype=np.uint8)
    noise[:, :, 2 * label] += 150
    return noise


def _sound(label: int, spec: MelSpec, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(spec.n_samples) / spec.sample_rate
    tone = np.sin(2 * np.pi * (300 + 2000 * label) * time + rng.uniform(0, 6))
    return np.asarray(0.3 * tone + 0.01 * rng.standard_normal(len(time)), dtype=np.float32)


@pytest.fixture(scope="session")
def media_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels of six pictures and six sounds each, split as ``SPLITS``."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    spec = PRESETS["tiny"].mel
    clips = []
    for number, label in enumerate(LABELS):
        for i in range(PER_LABEL):
            image, audio = folder / f"{label}{i}.png", folder / f"{label}{i}.wav"
            cv2.imwrite(str(image), _picture(number, rng))
            soundfile.write(audio, _sound(number, spec, rng), spec.sample_rate)
            facts = {"label": label, "split": SPLITS[i]}
            clips += [clip(image=str(image), **facts), clip(audio=str(audio), **facts)]
    write_index(folder / "index.jsonl", clips)
    return folder / "index.jsonl"


@pytest.fixture(scope="session")
def random_tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token cache of the tiny preset: four groups of two views a medium, one for validation."""
    path = tmp_path_factory.mktemp("random_tokens") / "tokens.safetensors"
    runs.random_tokens(PRESETS["tiny"].layout, 4, 32).save(path)
    return path


@pytest.fixture(scope="session")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained: their codes are as good as any."""
    found = {}
    for stage in ("image_codec", "mel_codec"):
        config = getattr(PRESETS["tiny"], stage)
        run = runs.untrained_codec(tmp_path_factory.mktemp("codecs"), config, stage)
        found[stage.replace("_", "-")] = run
    return found
