"""int8 graphs: what is rewritten, what is shared, and how little it moves."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from echoes_export.precision.int8_graph import quantized
from echoes_export.precision.quantize import add_int8_graphs, write_int8_bundle
from echoes_export.precision.quantize_command import quantize
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError, InputError
from echoes_rt.model import Model
from echoes_rt.pipeline import Echoes
from echoes_rt.profile.nodes import NodeRun, NodeWatcher

TRANSFORMER = ("context_", "decode_", "logits_")


@pytest.fixture(scope="module")
def int8_path(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "bundle"
    shutil.copytree(tiny_bundle, out)
    add_int8_graphs(out)
    return out


def test_scales_keep_every_output_within_half_a_level() -> None:
    weights = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32) * 10.0 ** np.arange(5)
    weights[:, 2] = 0
    values, scales = quantized(weights)
    assert values.dtype == np.int8
    assert np.abs(values).max() == 63
    assert np.all(np.abs(values * scales - weights) <= scales / 2 * 1.0001)
    assert not values[:, 2].any()


def test_graphs_stand_beside_the_others_which_stay(tiny_bundle: Path, int8_path: Path) -> None:
    old, new = (Bundle.open(path).manifest for path in (tiny_bundle, int8_path))
    made = {name for name in old.graphs if name.startswith((*TRANSFORMER, "vocoder"))}
    assert new.graphs.keys() == old.graphs.keys() | {f"{name}_int8" for name in made}
    assert {name: new.graphs[name] for name in old.graphs} == old.graphs
    assert {new.graphs[f"{name}_int8"].precision for name in made} == {"int8"}
    assert add_int8_graphs(shutil.copytree(int8_path, int8_path.with_name("again"))) == new


def test_matrices_are_stored_once_and_all_else_is_shared(int8_path: Path) -> None:
    stored = load_file(int8_path / "weights_int8.safetensors")
    matrices = {name for name, tensor in stored.items() if tensor.dtype == np.int8}
    # Of one layer: qkv, out, and two of the MLP; and two heads. Of one block of the vocoder: two.
    assert len(matrices) == 6 + 2
    assert not any("vocoder.head" in name for name in matrices)
    assert stored.keys() == matrices | {f"{name.removesuffix('.int8')}.scale" for name in matrices}
    for path in {*int8_path.glob("*_int8.onnx")} - {int8_path / "vocoder_int8.onnx"}:  # has phases
        graph = onnx.load(path, load_external_data=False).graph
        inside = [t for t in graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
        assert max(np.prod(tensor.dims) for tensor in inside) <= 512, path.name


def test_scores_move_little_and_other_graphs_not_at_all(int8_path: Path) -> None:
    old, new = (Model.load(int8_path, "cpu", 1, precision) for precision in ("fp32", "int8"))
    assert [new.precision(name) for name in ("logits_audio", "mel_decoder")] == ["int8", "fp32"]
    assert old.precision("logits_audio") == "fp32"
    layout = old.manifest.tokens
    rng = np.random.default_rng(0)
    images = rng.integers(0, 32, (3, layout.image.n_tokens), dtype=np.int32)
    tokens = np.full((3, layout.audio.n_tokens), layout.audio.mask_token, dtype=np.int32)
    expected, got = (model.logits("audio", tokens, images) for model in (old, new))
    assert 0 < np.abs(got - expected).std() < 0.03 * expected.std()
    codes = rng.integers(0, 32, (1, layout.audio.n_tokens), dtype=np.int32)
    mels = [model.decode_mel(codes) for model in (old, new)]
    np.testing.assert_array_equal(*mels)
    expected, got = (model.vocode(mels[0]) for model in (old, new))
    assert 0 < np.abs(got - expected).std() < 0.1 * expected.std()


def test_a_bundle_in_int8_alone_computes_the_same_under_the_usual_names(
    tiny_bundle: Path, int8_path: Path, tmp_path: Path
) -> None:
    old = Bundle.open(int8_path)
    made = write_int8_bundle(old, tmp_path / "out")
    assert made == Bundle.open(tmp_path / "out").manifest
    assert made.name == "echoes-tiny-int8"
    usual = Bundle.open(tiny_bundle).manifest.graphs
    assert {name: entry.precision for name, entry in made.graphs.items()} == {
        name: "int8" if f"{name}_int8" in old.manifest.graphs else entry.precision
        for name, entry in usual.items()
    }
    stored = load_file(tmp_path / "out" / "weights.safetensors")
    integers = {name for name, tensor in stored.items() if tensor.dtype == np.int8}
    assert integers
    assert not stored.keys() & {n.removesuffix(".int8").removesuffix(".t") for n in integers}
    picture = np.full((9, 9, 3), 99, np.uint8)
    alone = Echoes.load(tmp_path / "out", "cpu", 1).generate(picture, seed=1)
    beside = Echoes.load(int8_path, "cpu", 1, "int8").generate(picture, seed=1)
    np.testing.assert_array_equal(alone.samples, beside.samples)
    with pytest.raises(BundleError):  # nothing is left to quantize
        write_int8_bundle(Bundle.open(tmp_path / "out"), tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_onnx_runtime_makes_one_operator_of_each_product(int8_path: Path, tmp_path: Path) -> None:
    model = Model.load(int8_path, "cpu", 1, "int8")
    watcher = NodeWatcher(tmp_path, is_counting=False)
    model.beside(watcher).logits(
        "audio", np.zeros((1, model.manifest.tokens.audio.n_tokens), dtype=np.int32)
    )
    runs: list[NodeRun] = watcher.node_runs()
    assert sum(run.op_type == "DynamicQuantizeMatMul" for run in runs) == 5  # one head
    assert not {"MatMulInteger", "DynamicQuantizeLinear"} & {run.op_type for run in runs}


def test_command_prints_how_far_it_moves(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    result = CliRunner().invoke(quantize, [str(folder), "--pictures", "3"])
    assert result.exit_code == 0, result.output
    for metric in ("relative error", "equal likeliest codes", "equal tokens of all steps"):
        assert metric in result.stdout
    assert "decode_audio_step_int8" in Bundle.open(folder).manifest.graphs


def test_command_makes_a_bundle_of_a_bundled_one(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echoes_rt.bundle.BUNDLED_FOLDER", tiny_bundle.parent)
    out = tmp_path / "out"
    asked = [tiny_bundle.name, "--out", str(out), "--pictures", "1"]
    result = CliRunner().invoke(quantize, asked, catch_exceptions=False)
    assert "equal likeliest codes" in result.stdout
    assert Bundle.open(out).manifest.is_int8
    assert "## int8" in (out / "README.md").read_text("utf-8")
    with pytest.raises(InputError):
        CliRunner().invoke(quantize, asked, catch_exceptions=False)


def test_a_bundle_without_weights_of_its_own_stays_as_it_is(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.setattr("echoes_export.precision.quantize.MODULES", ("nothing.",))
    with pytest.raises(BundleError, match="no products of nothing"):
        add_int8_graphs(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
