"""Published checkpoints become our runs to the last tensor, and nothing in them is ever run."""

import json
import shutil
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from safetensors.torch import save_file
from tests.training.runs import invoke
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.models.vocoder import VocoderConfig
from echoes_training.models.vqgan import VQGAN
from echoes_training.presets import PRESETS
from echoes_training.published import layouts
from echoes_training.published.layouts import LAYOUTS, convert
from echoes_training.published.read_tensors import read_tensors
from echoes_training.stages.codecs import codec_of_run

TINY = PRESETS["tiny"]
NAMES = Path(__file__).parents[1] / "fixtures" / "published"
Tensors = dict[str, Tensor]


def published(kind: str) -> Tensors:
    """Every tensor of the original network by its name; each has only one number in memory."""
    shapes = json.loads((NAMES / f"{kind}.json").read_text("utf-8"))
    return {name: torch.full((), 0.5).expand(shape) for name, shape in shapes.items()}


def small_melgan() -> tuple[layouts.Layout, Tensors]:
    """With random weights by their published names."""
    config = VocoderConfig(architecture="melgan", width=2, layers=1, ratios=(8, 4, 2))
    layout = layouts.melgan(replace(TINY.vocoder, model=config))
    with torch.device("meta"):
        wanted = layout.module().state_dict()
    tensors = {}
    for name, tensor in wanted.items():
        *norm, last = layout.sources(name)
        tensors[last] = torch.randn(tensor.shape)
        tensors |= {n: torch.rand(tensor.shape[0], 1, 1) for n in norm}
    return layout, tensors


def run_import(kind: str, path: Path, out: Path) -> Result:
    return invoke("import", kind, path, "--out", out)


def error(result: Result) -> str:
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
def test_every_tensor_of_the_original_has_its_place(kind: str) -> None:
    tensors = published(kind)
    converted = convert(tensors, LAYOUTS[kind])
    assert converted.n_dropped == 0
    state = converted.module.state_dict()
    assert not any(tensor.is_meta for tensor in state.values())
    if kind != "melgan":
        assert state.keys() - {"quantize.usage"} == tensors.keys()


def test_loss_is_left_out_and_counted() -> None:
    tensors = {"loss.discriminator.main.0.weight": torch.zeros(1), "loss.logvar": torch.zeros(1)}
    assert convert(published("taming") | tensors, LAYOUTS["taming"]).n_dropped == 2


def without(tensors: Tensors) -> Tensors:
    return {k: v for k, v in tensors.items() if not k.startswith("model.1.")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, "it lacks model.1.weight_g, model.1.weight_v, model.1.bias"),
        (lambda t: t | {"model.30.bias": t["model.1.bias"]}, "the network has no model.30.bias"),
        (
            lambda t: t | {"model.1.weight_v": torch.ones(512, 80, 5)},
            "model.1.weight_v is 512 x 80 x 5, the network's is 512 x 80 x 7",
        ),
        (
            lambda t: t | {"model.1.weight_g": torch.ones(512)},
            "model.1.weight_g is 512, the network's is 512 x 1 x 1",
        ),
        (
            lambda t: t | {"model.1.bias": torch.full((512,), torch.nan)},
            "model.1.bias has values that are not finite",
        ),
        (lambda t: {f"x{i}": t["model.1.bias"] for i in range(9)}, "123 more"),
    ],
)
def test_what_does_not_fit_is_named(
    change: Callable[[Tensors], Tensors], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "best_netG.pt"
    torch.save(change(published("melgan")), path)
    line = error(run_import("melgan", path, tmp_path / "run"))
    assert line.startswith(f"Error: {path} is not a melgan checkpoint: ")
    assert message in line
    assert not (tmp_path / "run").exists()


def small_codec(variant: str) -> Any:
    model = replace(
        PRESETS["base"].image_codec.model,
        channels=(4, 6),
        decoder_channels=(4, 6),
        res_blocks=1,
        attention=variant == "taming",
        codebook_size=16,
        codebook_dim=4,
        variant=variant,
    )
    return replace(TINY.image_codec, model=model)


def random_codec(config: Any) -> VQGAN:
    torch.manual_seed(0)
    model = VQGAN(config.model).eval().requires_grad_(False)
    z = model.latents(torch.randn(1, 3, 32, 32)).permute(0, 2, 3, 1).flatten(0, 2)
    model.quantize.embedding.weight.copy_(z[:16])
    return model


def weights(model: VQGAN) -> Tensors:
    return {k: v for k, v in model.state_dict().items() if k != layouts.USAGE}


@pytest.mark.parametrize(("kind", "suffix"), [("taming", ".safetensors"), ("maskgit", ".ckpt")])
def test_imported_codec_is_a_run_that_encodes_the_same(
    kind: str, suffix: str, media_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_codec(kind)
    monkeypatch.setitem(layouts.LAYOUTS, kind, layouts.codec("image_codec", config))
    model = random_codec(config)
    path, run = tmp_path / f"last{suffix}", tmp_path / "run"
    if suffix == ".ckpt":
        torch.save({"state_dict": weights(model)}, path)
    else:
        save_file(weights(model), path)
    result = run_import(kind, path, run)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{run}\n"
    assert checkpoint.load_config(run)["imported"] == {
        "layout": kind,
        "file": path.name,
        "left_out": 0,
    }
    ours = codec_of_run(run).model
    assert ours.config == config.model
    assert isinstance(ours, VQGAN)
    x = torch.randn(2, 3, 32, 32)
    codes = ours.encode(x)
    assert len(codes.unique()) > 4
    assert torch.equal(codes, model.encode(x))
    assert torch.equal(ours.decode(codes), model.decode(codes))
    # Further training must not take codes that nothing chose yet for dead.
    assert (ours.quantize.usage == 1 / 16).all()
    assert error(run_import(kind, path, run)).endswith("holds a run already; pass another --out")
    before = checkpoint.load_config(run)
    resumed = invoke("image-codec", "--index", media_index, "--out", run, "--resume")
    assert "was imported, so there is no training to resume" in error(resumed)
    assert checkpoint.load_config(run) == before


def test_names_of_the_other_maskgit_port_are_known() -> None:
    layout = layouts.codec("image_codec", small_codec("maskgit"))
    model = random_codec(small_codec("maskgit"))
    other = {
        name.replace(".mid.block_1.", ".mid.0.")
        .replace(".mid.block_2.", ".mid.1.")
        .replace(".upsample.conv.", ".upsample_conv."): tensor
        for name, tensor in weights(model).items()
    }
    assert other.keys() != weights(model).keys()
    for name, tensor in convert(other, layout).module.state_dict().items():
        assert name == layouts.USAGE or torch.equal(tensor, model.state_dict()[name])


def test_weight_norm_is_folded() -> None:
    layout, tensors = small_melgan()
    vocoder = convert(tensors, layout).module
    for name, place in (("levels.1.upsample", 6), ("conv_out", 13)):
        expected = torch._weight_norm(
            tensors[f"model.{place}.weight_v"], tensors[f"model.{place}.weight_g"], 0
        )
        torch.testing.assert_close(vocoder.get_parameter(f"{name}.weight"), expected)
    assert vocoder(torch.randn(2, 16, 12)).shape == (2, 12 * TINY.mel.hop_length)


class Runs:
    """Unpickled by an ordinary reader, this copies a file."""

    def __init__(self, source: Path, target: Path) -> None:
        self.paths = (str(source), str(target))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return shutil.copyfile, self.paths


def test_objects_beside_the_weights_are_read_past_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("lightning_of_2021")
    module.__dict__["ModelCheckpoint"] = type(
        "ModelCheckpoint", (), {"__module__": "lightning_of_2021"}
    )
    path, target = tmp_path / "last.ckpt", tmp_path / "copied"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "lightning_of_2021", module)
        callback = module.__dict__["ModelCheckpoint"]
        content = {
            "state_dict": {"a": torch.arange(3.0)},
            "callbacks": {callback: {"best": callback()}},
            "hyper_parameters": [Runs(tmp_path / "last.ckpt", target), Path("x")],
        }
        torch.save(content, path)
    tensors = read_tensors(path)
    assert tensors.keys() == {"a"}
    assert torch.equal(tensors["a"], torch.arange(3.0))
    assert not target.exists()


class Shell:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return __import__("os").system, ("touch owned",)


def damaged(path: Path) -> None:
    torch.save({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: torch.save({"state_dict": Shell()}, path), "GLOBAL posix.system"),
        (damaged, "cannot be read safely ("),
        (lambda path: path.write_bytes(b""), "cannot be read safely ("),
        (lambda path: path.write_bytes(b"text"), "cannot be read safely ("),
        (lambda path: torch.save([1, 2], path), "holds no state_dict"),
        (lambda path: torch.save({"state_dict": {}}, path), "holds no state_dict"),
        (lambda path: torch.save({"step": 3}, path), "'step' is not a tensor"),
    ],
)
def test_a_file_without_readable_weights_is_one_clear_line(
    write: Callable[[Path], object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    write(path)
    line = error(run_import("taming", path, tmp_path / "run"))
    assert message in line
    assert {p.name for p in tmp_path.iterdir()} == {"last.ckpt"}


def test_other_formats(tmp_path: Path) -> None:
    old = tmp_path / "old.pt"
    torch.save({"a": torch.arange(3.0)}, old, _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(old)["a"], torch.arange(3.0))
    (tmp_path / "x.safetensors").write_bytes(b"text")
    with pytest.raises(InputError, match=r"x.safetensors is not a safetensors file"):
        read_tensors(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"must end in one of .safetensors, .ckpt, .pt, .pth"):
        read_tensors(tmp_path / "x.h5")
