"""A bundle takes in what tells pictures that it knows from others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from echoes_export.bundle.models import Models, random_models, stored_models
from echoes_export.bundle.run_models import Runs, load_models
from echoes_rt import Echoes
from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_training.models.confidence import Confidence
from echoes_training.presets import PRESETS

WriteHead = Callable[[Path, Models], Confidence]


def test_the_graph_tells_what_torch_does(
    bundle_path: Path, models: Models, write_head: WriteHead, tmp_path: Path
) -> None:
    head = write_head(tmp_path / "confidence.safetensors", models)
    grid = models.layout.image
    shape = (5, grid.n_tokens)
    codes = np.random.default_rng(0).integers(0, grid.codebook_size, shape, dtype=np.int32)
    square = torch.from_numpy(codes).unflatten(1, (grid.height, grid.width))
    expected = head(models.image_codec.summary(square)).numpy()
    assert expected.std() > 0.01
    found = Echoes.load(bundle_path, device="cpu", threads=1).confidence(codes)
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-3)  # weights are stored in fp16


def test_it_belongs_to_the_codec_that_it_was_fitted_to(
    runs: dict[str, Path], write_head: WriteHead, tmp_path: Path
) -> None:
    write_head(tmp_path / "confidence.safetensors", random_models(PRESETS["tiny"], seed=1))
    with pytest.raises(InputError, match="another picture codec than that of"):
        load_models(Runs(**runs), confidence=tmp_path / "confidence.safetensors")


@pytest.mark.parametrize(
    ("replaced", "stays"), [("vocoder", True), ("transformer", False), ("image_codec", False)]
)
def test_a_bundle_with_another_transformer_or_picture_codec_starts_without_it(
    bundle_path: Path, runs: dict[str, Path], replaced: str, stays: bool
) -> None:
    base = stored_models(Bundle.open(bundle_path))
    assert base.confidence is not None
    models = load_models(Runs(**{replaced: runs[replaced]}), base)
    assert (models.confidence is not None) == stays
    assert ("confidence" in models.modules) == ("confidence" in models.configs) == stays
