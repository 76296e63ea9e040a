"""What tokenize leaves, and what the commands of the stages refuse."""

from pathlib import Path

from tests.training.runs import invoke, train

from echoes_training.data.tokens import TokenCache


def test_tokens_hold_every_view_and_mark_the_validation_ones(
    media_index: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "tokens.safetensors"
    options = [f"--{stage}={run}" for stage, run in codecs.items()]
    options += ["--image-views=3", "--audio-views=2"]
    train("tokenize", "--index", media_index, *options, "--out", out)
    cache = TokenCache.load(out)
    assert cache.groups == ["label:high", "label:low"]
    for table, views in ((cache.image, 3), (cache.audio, 2)):
        assert (~table.validation).sum() == 2 * 4 * views
        assert table.validation.sum() == 2
        assert table.codes.min() >= 0
        assert table.codes.max() < 32


def test_an_old_run_is_never_overwritten(media_index: Path, codecs: dict[str, Path]) -> None:
    run = codecs["image-codec"]
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
