"""Which categories a codec learns to name, and what happens with others."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.cli import main
from echoes_training.data.index import Clip, read_index, write_index
from echoes_training.stages import categories
from echoes_training.stages.codecs import load_vqgan
from echoes_training.stages.vqgan import load_head

# TensorBoard asks protobuf for things that newer releases call deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:google")


def train(*arguments: object) -> Result:
    torch.set_num_threads(1)
    return CliRunner().invoke(main, [str(a) for a in (*arguments, "--preset", "tiny")])


def named(index: Path, out: Path, name: Callable[[Clip], str]) -> Path:
    """The index with other categories."""
    clips = [dataclasses.replace(clip, category=name(clip)) for clip in read_index(index)]
    write_index(out, clips)
    return out


@pytest.fixture(scope="module")
def index(media_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the codec is validated on is of a category that is not trained on."""
    out = tmp_path_factory.mktemp("index") / "index.jsonl"
    return named(media_index, out, lambda c: "new" if c.split == "validation" else c.category)


@pytest.fixture(scope="module")
def codec(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("codec") / "run"
    result = train("image-vqgan", "--index", index, "--out", run)
    assert result.exit_code == 0, result.output
    return run


def last(run: Path) -> dict[str, float]:
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return dict(json.loads(lines[-1]))


def test_a_category_that_is_not_trained_on_counts_as_missed(
    index: Path, codec: Path, tmp_path: Path
) -> None:
    assert last(codec)["validation/category_from_codes"] == 0
    assert checkpoint.load_config(codec)["categories"] == ["high", "low"]
    run = tmp_path / "refined"
    result = train("refine-image", "--index", index, "--codec", codec, "--out", run)
    assert result.exit_code == 0, result.output
    assert last(run)["validation/category"] == 0
    assert checkpoint.load_config(run)["categories"] == ["high", "low"]


def test_refining_on_other_categories_is_refused_or_goes_without(
    index: Path, codec: Path, tmp_path: Path
) -> None:
    other = named(index, tmp_path / "index.jsonl", lambda clip: f"{clip.category}er")
    run = tmp_path / "refined"
    command = ("refine-image", "--index", other, "--codec", codec, "--out", run)
    result = train(*command)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        f"Error: the index has 2 categories that {codec} was not trained on, 'higher' for one; "
        "pass the index of that run, or to refine it without categories, "
        "--set loss_weights.category=0"
    )
    assert not run.exists()
    result = train(*command, "--set", "loss_weights.category=0")
    assert result.exit_code == 0, result.output
    assert "validation/category" not in last(run)


def test_of_fewer_categories_each_keeps_its_number(codec: Path, index: Path) -> None:
    low = [c for c in read_index(index) if c.category == "low"]
    assert categories.numbers(codec, low) == {"high": 0, "low": 1}


def test_older_runs_tell_categories_by_their_order(
    codec: Path, index: Path, tmp_path: Path
) -> None:
    saved = checkpoint.load_config(codec)
    del saved["categories"]
    checkpoint.save_config(tmp_path, saved)
    (tmp_path / "step-0000004").symlink_to(codec / "step-0000004")
    clips = [c for c in read_index(index) if c.split == "train"]
    assert categories.numbers(tmp_path, clips) == {"high": 0, "low": 1}
    config = load_vqgan(tmp_path)[1]
    assert load_head(tmp_path, config, 2) is not None
    with pytest.raises(InputError, match="was not trained on the 3 categories of the index; pass"):
        load_head(tmp_path, config, 3)
