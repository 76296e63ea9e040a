"""What many tests of training do: describe a clip, run a command, read what it left."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from echoes_rt.format.tokens import TokenLayout
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.cli import main
from echoes_training.config import to_dict
from echoes_training.data.index import Clip
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.data.videos.table import VideoClip
from echoes_training.stages.codecs import CODEC, make_codec


def clip(**facts: Any) -> Clip:
    """Of the training split, in the category of its label, unless ``facts`` say otherwise."""
    default = {"category": facts.get("label"), "split": "train"}
    return Clip(**{**default, "licence": "CC0 1.0", "source": "pairs", **facts})


def video_clip(**facts: Any) -> VideoClip:
    """A second of the training split, unless ``facts`` say otherwise."""
    default = {"path": None, "start": 0.0, "offset": 0.0, "label": None, "split": "train"}
    return VideoClip(**{**default, "seconds": 1.0, **facts})


def invoke(*arguments: object) -> Result:
    """``echoes-train`` with these arguments, on one thread, as runs are compared."""
    torch.set_num_threads(1)
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def train(*arguments: object) -> Result:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def forked(jobs: list[dict[str, Any]], folder: Path) -> list[list[int]]:
    """The exit statuses of the processes of each job, as forked.py takes them."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs), "utf-8")
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("forked.py")), str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    sys.stderr.write(result.stderr)
    return list(json.loads(result.stdout))


def assert_same_weights(one: Path, other: Path) -> None:
    """The newest checkpoints of two runs, to the last bit."""
    expected, found = checkpoint.newest(one), checkpoint.newest(other)
    assert expected is not None
    assert found is not None
    assert expected.name == found.name
    files = sorted(file.name for file in expected.iterdir())
    assert files == sorted(file.name for file in found.iterdir())
    for file in files:
        a, b = load_file(expected / file), load_file(found / file)
        assert a.keys() == b.keys()
        for key, tensor in a.items():
            assert torch.equal(tensor, b[key]), f"{file}: {key}"


def saved(run: Path, stage: str, config: Any, **modules: torch.nn.Module) -> Path:
    """A run as training leaves it, without the training."""
    checkpoint.save_config(run, {"stage": stage, "config": to_dict(config)})
    checkpoint.save(run, 1, TrainState(modules=modules, optimizers={}))
    return run


def untrained_codec(run: Path, config: Any, stage: str = "image_codec") -> Path:
    """A run of a codec whose codes differ for different pictures, or mels."""
    torch.manual_seed(0)
    codec = make_codec(config.model).eval()
    codec.spread_codes(torch.rand(8, config.model.in_channels, 32, 32) * 2 - 1)
    return saved(run, stage, config, **{CODEC: codec})


def random_tokens(
    layout: TokenLayout, groups: int, codebook_size: int, *, are_alike: bool = False
) -> TokenCache:
    """Two views a group and medium, of which one is for validation, and may be the same again."""
    rng = np.random.default_rng(0)

    def table(n_tokens: int) -> TokenTable:
        codes = rng.integers(0, codebook_size, (groups, 2, n_tokens), dtype=np.int16)
        if are_alike:
            codes[:, 1] = codes[:, 0]
        return TokenTable(
            codes=codes.reshape(2 * groups, n_tokens),
            group=np.repeat(np.arange(groups, dtype=np.int32), 2),
            validation=np.arange(2 * groups) % 2 == 1,
        )

    return TokenCache(
        image=table(layout.image.n_tokens),
        audio=table(layout.audio.n_tokens),
        image_codebook=rng.standard_normal((codebook_size, 8)).astype(np.float32),
        audio_codebook=rng.standard_normal((codebook_size, 8)).astype(np.float32),
        groups=[f"label:{group}" for group in range(groups)],
    )
