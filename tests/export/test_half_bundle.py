"""Graphs in float16 beside the others, and the devices that run them."""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto

from echoes_export.cli import main
from echoes_export.precision import half_bundle
from echoes_export.precision.half_bundle import GRAPHS, add_half_graphs, faster
from echoes_export.precision.quantize import add_int8_graphs, write_int8_bundle
from echoes_rt import model as engine_module
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.select import DeviceChoice
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import compare_bundles, noise_pictures
from echoes_rt.errors import BundleError, InputError
from echoes_rt.format.graphs import HALF
from echoes_rt.model import Model
from echoes_rt.nvidia.gpu_check.checks import check_parity


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("half") / "bundle"
    shutil.copytree(tiny_bundle, folder)
    add_half_graphs(folder)
    return Bundle.open(folder)


@pytest.fixture(scope="module")
def halves(bundle: Bundle) -> Bundle:
    """The same folder, as if its float16 graphs were all that it had."""
    graphs = {
        name.removesuffix(HALF): entry
        for name, entry in bundle.manifest.graphs.items()
        if name.endswith(HALF)
    }
    return replace(bundle, manifest=replace(bundle.manifest, graphs=graphs))


def test_products_compute_in_float16_and_all_else_stays(bundle: Bundle, tiny_bundle: Path) -> None:
    before = Bundle.open(tiny_bundle).manifest.graphs
    graphs = bundle.manifest.graphs
    assert graphs.keys() == before.keys() | {f"{name}_half" for name in GRAPHS}
    assert {name: graphs[name] for name in before} == before
    for name in GRAPHS:
        half = graphs[f"{name}_half"]
        assert half.precision == "fp16"
        assert half.external_data == graphs[name].external_data
    model = onnx.shape_inference.infer_shapes(onnx.load(bundle.graph_path("logits_audio_half")))
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    assert products
    assert {kinds.get(node.output[0]) for node in products} <= {TensorProto.FLOAT16, None}


def test_effect_is_small_and_told_of_every_graph(bundle: Bundle, halves: Bundle) -> None:
    checks = {
        (c.graph, c.metric): c.value
        for c in compare_bundles(bundle, halves, noise_pictures(bundle.manifest.image, 4))
    }
    assert 0 < checks["logits_audio", "relative error"] < 3e-3
    assert checks["vocoder", "lowest SNR, dB"] > 50
    assert checks["decode_audio_step", "equal tokens of one step"] > 0.9
    assert checks["image_encoder", "equal codes"] > 0.95


def test_a_gpu_runs_them_and_the_cpu_does_not(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def note(path: Path, *_: Any, **__: Any) -> Any:
        opened.append(path.name)
        return type("Session", (), {"device": "-"})()

    monkeypatch.setattr(engine_module, "OnnxSession", note)
    monkeypatch.setattr(engine_module, "BoundStep", note)
    mixed = DeviceChoice(device="tensorrt:0", reason="", engines={}, others="cuda:0")
    for choice in (
        DeviceChoice(device="cpu", reason=""),
        DeviceChoice(device="cuda:0", reason=""),
        mixed,
    ):
        Model(bundle, choice).prepare("vocoder", "decode_audio_step")
    halves = ["vocoder_half.onnx", "decode_audio_step_half.onnx"]
    assert opened == ["vocoder.onnx", "decode_audio_step.onnx", *halves, *halves]


def test_parity_expects_float16_of_them(bundle: Bundle) -> None:
    cpu = Model.load(bundle, device="cpu")
    other = Model.load(bundle, device="cpu")
    other.variant = lambda name: f"{name}_half"  # type: ignore[method-assign]
    outcome = check_parity(cpu, other)
    assert outcome.figures["precision"] == "fp16"
    assert outcome.figures["precision_of_sound"] == "fp16"
    assert outcome.status == "passed", outcome.said


def test_graphs_in_both_precisions_are_those_of_float32(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "both")
    int8 = add_int8_graphs(tmp_path / "both").graphs.keys() - bundle.manifest.graphs.keys()
    assert int8 == {
        f"{name}_int8"
        for name in bundle.manifest.graphs
        if name.startswith(("context_", "decode_", "logits_", "vocoder"))
        if not name.endswith(HALF)
    }
    assert add_half_graphs(tmp_path / "both").graphs.keys() == bundle.manifest.graphs.keys() | int8


def test_a_bundle_in_int8_alone_has_none_and_gets_none(bundle: Bundle, tmp_path: Path) -> None:
    manifest = write_int8_bundle(bundle, tmp_path / "int8")
    assert not any(name.endswith(HALF) for name in manifest.graphs)
    with pytest.raises(BundleError):
        add_half_graphs(tmp_path / "int8")


def test_command_adds_them_once_or_again(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    for _ in range(2):
        result = CliRunner().invoke(main, ["half", str(folder), "--pictures", "2"])
        assert result.exit_code == 0, result.output
        assert "decode_audio_step  equal tokens of one step" in result.stdout
    assert np.all([(folder / f"{name}_half.onnx").is_file() for name in GRAPHS])


def test_only_what_is_faster_on_a_device_is_kept(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is the CPU, on which some graphs are made slow: in float16 and without it."""
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    slow = {"vocoder_half.onnx", "decode_audio_step_half.onnx", "mel_decoder.onnx"}

    class Device(OnnxSession):
        def __init__(self, path: Path, *arguments: Any) -> None:
            super().__init__(path, *arguments)
            if path.name in slow:
                self._session = Slow(self._session)

    class Slow:
        def __init__(self, session: Any) -> None:
            self._session = session

        def run(self, *arguments: Any) -> Any:
            time.sleep(0.02)
            return self._session.run(*arguments)

    monkeypatch.setattr(engine_module, "OnnxSession", Device)
    monkeypatch.setattr(half_bundle, "HALF_KINDS", ("cpu",))
    monkeypatch.setattr(half_bundle, "ROUNDS", 3)
    result = CliRunner().invoke(main, ["half", str(folder), "--pictures", "1", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert all(f"\n{name}: " in result.stdout for name in GRAPHS)
    graphs = Bundle.open(folder).manifest.graphs
    assert "mel_decoder_half" in graphs
    assert graphs.keys().isdisjoint({"vocoder_half", "decode_audio_step_half"})
    written = {path.stem for path in folder.glob("*_half.onnx")}
    assert written == {name for name in graphs if name.endswith(HALF)}


def test_a_device_that_runs_none_of_them_is_refused(bundle: Bundle, halves: Bundle) -> None:
    with pytest.raises(InputError):
        faster(bundle, halves, "cpu", lambda _: None)
