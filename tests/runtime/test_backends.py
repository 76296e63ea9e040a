import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from echoes_rt.backends import onnx
from echoes_rt.backends.onnx import OnnxSession, import_onnxruntime
from echoes_rt.backends.select import choose_device
from echoes_rt.errors import BackendError, BundleError, InputError
from echoes_rt.spec.graphs import GraphSpec, TensorSpec
from echoes_rt.spec.manifest import Manifest


@pytest.fixture
def step(tiny_bundle: Path) -> tuple[Path, GraphSpec]:
    manifest = Manifest.read(tiny_bundle / "manifest.json")
    return tiny_bundle / "step.onnx", manifest.graphs["step"].signature


def listing(monkeypatch: pytest.MonkeyPatch, starts: bool) -> list[Any]:
    """Makes ONNX Runtime list CUDA as its GPU build does, and start it or, as it does, not."""
    real = onnxruntime.InferenceSession
    asked: list[Any] = []

    def session(graph: Any, sess_options: Any, providers: list[Any], **_: Any) -> Any:
        asked.append(providers)
        if len(providers) > 1 and starts:
            return SimpleNamespace(get_providers=lambda: ["CUDAExecutionProvider", "CPU"])
        return real(graph, sess_options=sess_options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    said = "Failed to load libcu.so: no"
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: sys.stdout.write(said), raising=False)
    return asked


def test_session_runs_with_any_batch(step: tuple[Path, GraphSpec]) -> None:
    session = OnnxSession(*step, "cpu", threads=1)
    assert session.device == "cpu"
    for batch in (1, 3):
        tokens = np.zeros(step[1].inputs["tokens"].shape[1:], dtype=np.int32)
        outputs = session.run({"tokens": np.stack([tokens] * batch)})
        assert outputs["logits"].shape == (batch, *step[1].outputs["logits"].shape[1:])
        assert outputs["logits"].dtype == np.float32


def test_failing_run_is_one_line(step: tuple[Path, GraphSpec]) -> None:
    session = OnnxSession(*step, "cpu")
    with pytest.raises(BackendError, match=r"step\.onnx failed on cpu: .+") as caught:
        session.run({"tokens": np.zeros((1, 3), dtype=np.int32)})
    assert "\n" not in str(caught.value)


def test_damaged_graph_is_one_line_and_silent(
    step: tuple[Path, GraphSpec], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "step.onnx"
    path.write_bytes(b"\x08\x07nonsense")
    with pytest.raises(BackendError, match=r"ONNX Runtime .* cannot load .*step\.onnx: ") as caught:
        OnnxSession(path, step[1], "cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"ids": ("int32", ("batch", 24))}, r"has the inputs tokens, the manifest says ids"),
        ({"tokens": ("int64", ("batch", 24))}, r"is int32 \['batch', \d+\], the manifest says int"),
        ({"tokens": ("int32", ("batch", 9))}, r"the manifest says int32 \['batch', 9\]"),
        ({"tokens": ("int32", ("batch",))}, r"the manifest says int32 \['batch'\]"),
    ],
)
def test_graph_that_is_not_what_the_manifest_says_is_refused(
    inputs: dict[str, Any], sentence: str, step: tuple[Path, GraphSpec]
) -> None:
    path, signature = step
    wrong = {name: TensorSpec(dtype=dtype, shape=shape) for name, (dtype, shape) in inputs.items()}
    with pytest.raises(BundleError, match=sentence):
        OnnxSession(path, GraphSpec(inputs=wrong, outputs=signature.outputs), "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:-1"])
def test_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(InputError, match="device must be auto, cpu, cuda or cuda:<index>, got '"):
        choose_device(device)


def test_cpu_can_be_asked_for() -> None:
    choice = choose_device("cpu")
    assert (choice.device, choice.reason) == ("cpu", "asked for")


def test_auto_without_cuda_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    choice = choose_device("auto")
    assert choice.device == "cpu"
    assert choice.reason == f"ONNX Runtime {onnxruntime.__version__} was built without CUDA"


def test_asking_for_cuda_without_it_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError) as caught:
        choose_device("cuda")
    assert str(caught.value) == (
        f"device cuda cannot be used: ONNX Runtime {onnxruntime.__version__} was built without "
        "CUDA; install echoes-rt[gpu] in an environment without echoes-rt[cpu]"
    )


def test_listed_provider_that_does_not_start_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    listing(monkeypatch, starts=False)
    choice = choose_device("auto")
    assert choice.device == "cpu"
    assert choice.reason == (
        f"CUDA does not start on device 0 in ONNX Runtime {onnxruntime.__version__} "
        "(Failed to load libcu.so: no)"
    )
    with pytest.raises(
        BackendError, match=r"device cuda:2 cannot be used: .* on device 2 .*NVIDIA"
    ):
        choose_device("cuda:2")
    assert capfd.readouterr() == ("", "")


def test_session_on_cuda_never_runs_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, step: tuple[Path, GraphSpec]
) -> None:
    listing(monkeypatch, starts=False)
    with pytest.raises(BackendError, match=r"step\.onnx does not run on cuda:0: CUDA does not"):
        OnnxSession(*step, "cuda:0")


def test_cuda_that_starts_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = listing(monkeypatch, starts=True)
    assert choose_device("auto").device == "cuda:0"
    assert choose_device("cuda:1").device == "cuda:1"
    assert asked[-1][0] == ("CUDAExecutionProvider", {"device_id": "1"})


def test_missing_onnxruntime_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError) as caught:
        import_onnxruntime()
    assert str(caught.value) == "no ONNX Runtime found; install echoes-rt[cpu] or echoes-rt[gpu]"


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="needs the export extra")
def test_probe_graph_is_a_valid_identity() -> None:
    import onnx as onnx_package

    model = onnx_package.load_from_string(onnx._PROBE_GRAPH)
    onnx_package.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Identity"]
