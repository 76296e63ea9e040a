"""A bundle of a distilled transformer: guidance is in the weights, and cannot be asked for."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from echoes_export.bundle.about import recommended
from echoes_rt import Echoes, InputError
from echoes_rt.bundle import Bundle
from echoes_rt.format.sampling import Sampling
from echoes_training import checkpoint

Export = Callable[..., Result]


@pytest.fixture(scope="module")
def folded(
    export: Export, runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The bundle, and the run of its transformer, which says that it was distilled."""
    folder = tmp_path_factory.mktemp("folded")
    run, out = folder / "student", folder / "bundle"
    shutil.copytree(runs["transformer"], run)
    checkpoint.save_config(run, {**checkpoint.load_config(run), "distill": {"steps": [3, 2]}})
    result = export("bundle", "--out", out, "--verify-on", 1, **{**runs, "transformer": run})
    assert result.exit_code == 0, result.output
    return out, run


def test_the_bundle_says_so(folded: tuple[Path, Path]) -> None:
    bundle = Bundle.open(folded[0])
    sampling = bundle.manifest.sampling
    assert (sampling.steps, sampling.guidance_scale, sampling.is_folded) == (3, 1.0, True)
    assert "guidance folded in" in (folded[0] / "README.md").read_text("utf-8")
    echoes = Echoes.load(folded[0], device="cpu", threads=1)
    for target in ("image", "audio"):
        for graph in (f"decode_{target}", f"decode_{target}_step"):
            assert "guidance_scale" not in echoes.session(graph).inputs


def test_a_guidance_scale_is_refused(folded: tuple[Path, Path]) -> None:
    echoes = Echoes.load(folded[0], device="cpu", threads=1)
    picture = np.zeros((32, 32, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="guidance is folded into the model"):
        echoes.generate(picture, guidance_scale=3)
    with pytest.raises(InputError, match="no option 'guidance'"):
        echoes.generate(picture, guidance="scale")  # type: ignore[call-arg]
    grid = echoes.bundle.manifest.tokens.audio
    unknown = np.full((1, grid.n_tokens), grid.mask_token, dtype=np.int32)
    with pytest.raises(InputError, match="guidance is folded into the model"):
        echoes.decode_tokens("audio", unknown, seeds=[0], sampling=Sampling())
    sound = echoes.generate(picture, guidance_scale=1, steps=2, seed=0)
    assert sound.sampling.steps == 2


def test_the_next_transformer_says_anew_how_it_is_guided(
    folded: tuple[Path, Path], runs: dict[str, Path]
) -> None:
    base = Bundle.open(folded[0]).manifest
    for run, is_folded in ((runs["transformer"], False), (folded[1], True), (None, True)):
        assert recommended(base, run, ()).is_folded == is_folded


def test_another_vocoder_leaves_the_guidance_folded(
    folded: tuple[Path, Path], export: Export, runs: dict[str, Path], tmp_path: Path
) -> None:
    options = ("--base", folded[0], "--verify-on", 1, "--out", tmp_path / "same")
    result = export("bundle", *options, vocoder=runs["vocoder"])
    assert result.exit_code == 0, result.output
    assert Bundle.open(tmp_path / "same").manifest.sampling.is_folded


def test_export_takes_no_guidance_scale_either(
    folded: tuple[Path, Path], export: Export, runs: dict[str, Path], tmp_path: Path
) -> None:
    given = {**runs, "transformer": folded[1]}
    for setting in ("guidance_scale=2", "guidance=scale"):
        result = export("bundle", "--out", tmp_path / "b", "--sampling", setting, **given)
        assert result.exit_code == 1
        assert f"got {setting}" in result.output or "guidance is folded" in result.output
