"""TensorRT-RTX really builds our graphs, for GPUs that are not here."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from echoes_export.bundle.about import About
from echoes_export.bundle.models import random_models
from echoes_export.bundle.weights_file import rounded
from echoes_export.bundle.write import write_bundle
from echoes_export.tensorrt.build import Plan, build_engines, free_ranges, make_targets
from echoes_export.tensorrt.command import GRAPHS, engine
from echoes_rt.bundle import BUNDLED_FOLDER, Bundle
from echoes_rt.errors import BackendError
from echoes_rt.format.sampling import Sampling
from echoes_training.presets import PRESETS

pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
pytestmark = pytest.mark.rtx

ARCHITECTURES = (80, 86, 89, 120)

WITH_FLOAT32_PRODUCTS = ("image_encoder", "mel_encoder", "vocoder")
"""The nearest code, or the inverse DFT."""


def test_command_builds_then_keeps(tiny_bundle: Path, tmp_path: Path) -> None:
    asked = [str(tiny_bundle), "--out", str(tmp_path), "--sm", "89"]
    result = CliRunner().invoke(engine, asked, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert any("decode_audio.rtx.sm89.fp16.engine" in line for line in lines)
    assert all("s of CPU time" in line for line in lines)
    again = CliRunner().invoke(engine, asked, catch_exceptions=False)
    assert again.stdout.count("there already") == 5


def test_every_graph_that_is_offered_builds(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    plan = Plan(graphs=GRAPHS, precision="fp16", ranges=free_ranges(bundle, 4, 16))
    built = [*build_engines(bundle, tmp_path, plan, make_targets("rtx", (121,)), lambda _: None)]
    records = {made.record.key.graph: made.record for made in built}
    assert records.keys() == set(GRAPHS)
    frames = bundle.manifest.mel.n_frames
    assert records["vocoder"].ranges == {"batch": (1, 1, 4), "frames": (8, frames, 4 * frames)}
    assert all(made.path.stat().st_size > 0 for made in built)


@pytest.mark.parametrize("graph", GRAPHS)
def test_oldest_architecture_builds_what_needs_no_float32_products(
    graph: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = Bundle.open(tiny_bundle)
    plan = Plan(graphs=(graph,), precision="fp16", ranges=free_ranges(bundle, 4, 16))
    engines = build_engines(bundle, tmp_path, plan, make_targets("rtx", (75,)), lambda _: None)
    if graph in WITH_FLOAT32_PRODUCTS:
        with pytest.raises(BackendError, match="FP32 GEMM is not supported"):
            next(engines)
    else:
        assert next(engines).path.stat().st_size > 0


def test_mini_builds_for_every_architecture(tmp_path: Path) -> None:
    bundle = Bundle.open(BUNDLED_FOLDER / "echoes-mini")
    plan = Plan(graphs=("decode_audio",), precision="fp16", ranges=free_ranges(bundle, 4, 64))
    targets = make_targets("rtx", ARCHITECTURES)
    built = [*build_engines(bundle, tmp_path, plan, targets, lambda _: None)]
    assert [engine.record.key.sm for engine in built] == [*ARCHITECTURES]
    for made in built:
        assert made.path.stat().st_size > 5e6
        made.record.check(made.path, made.record.key)


def test_base_builds(tmp_path: Path) -> None:
    """Its grids and widths: two layers need the kernels of twelve, and the codecs' are others."""
    base = PRESETS["base"]
    parts = {"transformer": replace(base.transformer.model, layers=2)}
    for name in ("image_codec", "mel_codec"):
        codec = getattr(base, name).model
        parts[name] = replace(codec, channels=(32,) * 5, decoder_channels=(32,) * 5)
    stages = {name: replace(getattr(base, name), model=model) for name, model in parts.items()}
    about = About(name="base", description="Random weights.", sampling=Sampling())
    models = rounded(random_models(replace(base, **stages), seed=0), "fp16")
    write_bundle(tmp_path / "base", models, about, weights="fp16", accept=lambda _: None)
    bundle = Bundle.open(tmp_path / "base")
    plan = Plan(graphs=("decode_audio",), precision="fp16", ranges=free_ranges(bundle, 1, 16))
    targets = make_targets("rtx", ARCHITECTURES[:1])  # mini is built for all
    (made,) = build_engines(bundle, tmp_path, plan, targets, lambda _: None)
    assert made.path.stat().st_size > 30e6


def test_int8_builds(tiny_bundle: Path, picture: Path, tmp_path: Path) -> None:
    asked = [str(tiny_bundle), "--out", str(tmp_path), "--sm", "86", "--graph", "decode_audio"]
    asked += ["--precision", "int8", "--picture", str(picture)]
    result = CliRunner().invoke(engine, asked, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "decode_audio.rtx.sm86.int8.engine").stat().st_size > 0


def test_unknown_architecture_is_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    plan = Plan(graphs=("decode_audio",), precision="fp16", ranges=free_ranges(bundle, 1, 8))
    with pytest.raises(BackendError, match=r"builds for sm .*86.*, got 87; build with --backend"):
        next(build_engines(bundle, tmp_path, plan, make_targets("rtx", (87,)), lambda _: None))
    assert list(tmp_path.iterdir()) == []
