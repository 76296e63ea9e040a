"""int8 bundles: what is rewritten, what is shared, and how little it moves."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from echoes_export.precision.int8_graph import quantized
from echoes_export.precision.quantize import quantize_bundle
from echoes_export.precision.quantize_command import quantize
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError, InputError
from echoes_rt.model import Model
from echoes_rt.profile.nodes import NodeRun, NodeWatcher


@pytest.fixture(scope="module")
def int8_path(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "bundle"
    quantize_bundle(Bundle.open(tiny_bundle), out, "tiny-int8", accept=lambda _: None)
    return out


def test_scales_keep_every_output_within_half_a_level() -> None:
    weights = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32) * 10.0 ** np.arange(5)
    weights[:, 2] = 0
    values, scales = quantized(weights)
    assert values.dtype == np.int8
    assert np.abs(values).max() == 63
    assert np.all(np.abs(values * scales - weights) <= scales / 2 * 1.0001)
    assert not values[:, 2].any()


def test_bundle_opens_and_says_int8_where_it_is(tiny_bundle: Path, int8_path: Path) -> None:
    old, new = (Bundle.open(path).manifest for path in (tiny_bundle, int8_path))
    assert new.name == "tiny-int8"
    assert new.graphs.keys() == old.graphs.keys()
    for name, entry in new.graphs.items():
        has_transformer = name.startswith(("context_", "decode_", "logits_"))
        assert entry.precision == ("int8" if has_transformer else old.graphs[name].precision)
    assert "int8" in (int8_path / "README.md").read_text("utf-8")


def test_weights_are_stored_once_and_only_those_that_are_read(int8_path: Path) -> None:
    stored = load_file(int8_path / "weights.safetensors")
    matrices = {name for name, tensor in stored.items() if tensor.dtype == np.int8}
    assert len(matrices) == 6  # of one layer: qkv, out, and two of the MLP; and two heads
    assert {f"{name.removesuffix('.int8')}.scale" for name in matrices} <= stored.keys()
    old = {name.removesuffix(".int8").removesuffix(".t") for name in matrices}
    assert not old & stored.keys()
    large = {int8_path / "log_mel.onnx", int8_path / "vocoder.onnx"}  # filters, random phases
    for path in {*int8_path.glob("*.onnx")} - large:
        graph = onnx.load(path, load_external_data=False).graph
        inside = [t for t in graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
        assert max(np.prod(tensor.dims) for tensor in inside) <= 512, path.name


def test_scores_move_little_and_other_graphs_not_at_all(tiny_bundle: Path, int8_path: Path) -> None:
    old, new = (Model.load(path, device="cpu", threads=1) for path in (tiny_bundle, int8_path))
    layout = old.manifest.tokens
    rng = np.random.default_rng(0)
    images = rng.integers(0, 32, (3, layout.image.n_tokens), dtype=np.int32)
    tokens = np.full((3, layout.audio.n_tokens), layout.audio.mask_token, dtype=np.int32)
    expected, got = (model.logits("audio", tokens, images) for model in (old, new))
    assert 0 < np.abs(got - expected).std() < 0.03 * expected.std()
    codes = rng.integers(0, 32, (1, layout.audio.n_tokens), dtype=np.int32)
    np.testing.assert_array_equal(old.decode_audio(codes), new.decode_audio(codes))


def test_onnx_runtime_makes_one_operator_of_each_product(int8_path: Path, tmp_path: Path) -> None:
    model = Model.load(int8_path, device="cpu", threads=1)
    watcher = NodeWatcher(tmp_path, is_counting=False)
    model.beside(watcher).logits(
        "audio", np.zeros((1, model.manifest.tokens.audio.n_tokens), dtype=np.int32)
    )
    runs: list[NodeRun] = watcher.node_runs()
    assert sum(run.op_type == "DynamicQuantizeMatMul" for run in runs) == 5  # one head
    assert not {"MatMulInteger", "DynamicQuantizeLinear"} & {run.op_type for run in runs}


def test_command_prints_how_far_it_moves(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = [str(tiny_bundle), "--out", str(out), "--pictures", "3"]
    result = CliRunner().invoke(quantize, asked)
    assert result.exit_code == 0, result.output
    for metric in ("relative error", "equal likeliest codes", "equal tokens of all steps"):
        assert metric in result.stdout
    assert Bundle.open(out).manifest.name == "echoes-tiny-int8"
    again = CliRunner().invoke(quantize, asked)
    assert isinstance(again.exception, InputError)
    assert "exists already; pass --overwrite" in str(again.exception)


def test_command_knows_bundled_names(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echoes_rt.bundle.BUNDLED_FOLDER", tiny_bundle.parent)
    monkeypatch.chdir(tmp_path)
    asked = [tiny_bundle.name, "--out", "out", "--pictures", "1"]
    CliRunner().invoke(quantize, asked, catch_exceptions=False)
    assert Bundle.open(tmp_path / "out").manifest.name == "echoes-tiny-int8"


def test_int8_bundle_has_nothing_left_to_quantize(int8_path: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no products of transformer to quantize"):
        quantize_bundle(Bundle.open(int8_path), tmp_path / "o", "x", accept=lambda _: None)
    assert not (tmp_path / "o").exists()
