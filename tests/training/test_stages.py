"""Each stage really trains for a few steps through the command line, and resumes exactly."""

import json
from pathlib import Path

import pytest
from tests.training.runs import invoke, metrics, train

from echoes_training import checkpoint
from echoes_training.data.tokens import TokenCache


@pytest.fixture(scope="session")
def codec_runs(media_index: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("codecs")
    runs = {stage: folder / stage for stage in ("image-codec", "mel-codec")}
    for stage, run in runs.items():
        train(stage, "--index", media_index, "--preset", "tiny", "--out", run)
    return runs


@pytest.fixture(scope="session")
def token_cache(
    media_index: Path, codec_runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("tokens") / "tokens.safetensors"
    codecs = [f"--{stage}={run}" for stage, run in codec_runs.items()]
    views = ["--image-views", 3, "--audio-views", 2]
    train("tokenize", "--index", media_index, *codecs, "--out", out, *views)
    return out


@pytest.mark.parametrize("stage", ["image-codec", "mel-codec"])
def test_a_codec_run_leaves_what_it_promises(stage: str, codec_runs: dict[str, Path]) -> None:
    run = codec_runs[stage]
    assert json.loads((run / "config.json").read_text("utf-8"))["config"]["loop"]["steps"] == 4
    assert {p.name for p in (run / "samples").iterdir()} == {"0000002.png", "0000004.png"}
    assert any((run / "tensorboard").iterdir())
    folder = checkpoint.newest(run)
    assert folder is not None
    assert folder.name == "step-0000004"
    last = metrics(run)[-1]
    assert 0 < last["validation/reconstruction"] < 2
    assert 1 <= last["validation/codes_used"] <= 32


def test_tokens_hold_every_view_and_mark_the_validation_ones(token_cache: Path) -> None:
    cache = TokenCache.load(token_cache)
    assert cache.groups == ["label:high", "label:low"]
    for table, views in ((cache.image, 3), (cache.audio, 2)):
        assert (~table.validation).sum() == 2 * 4 * views
        assert table.validation.sum() == 2
        assert table.codes.min() >= 0
        assert table.codes.max() < 32


def test_an_old_run_is_never_overwritten(media_index: Path, codec_runs: dict[str, Path]) -> None:
    run = codec_runs["image-codec"]
    result = invoke("image-codec", "--index", media_index, "--out", run, "--preset", "tiny")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == (
        f"Error: {run} holds a run already; pass --resume or another --out"
    )


def test_no_ear_hears_a_vqgan(media_index: Path, tmp_path: Path) -> None:
    asked = ("--index", media_index, "--ear", tmp_path, "--preset", "tiny")
    result = invoke("mel-codec", *asked, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "leave --ear out" in result.output
