import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tests.runtime.conftest import FakeDriver
from tests.runtime.fakes.cuda_session import REAL_SESSION, SaysCuda, list_cuda

from echoes_rt.backends import onnx, probe
from echoes_rt.backends.device import parse_device
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.provider import PROVIDERS, add_provider
from echoes_rt.backends.select import choose_device
from echoes_rt.errors import BackendError, InputError
from echoes_rt.install import install_line
from echoes_rt.nvidia import cuda_driver
from echoes_rt.nvidia.cuda_driver import CudaDriver


@pytest.fixture
def graph(tiny_bundle: Path) -> Path:
    return tiny_bundle / "context_image.onnx"


def on_cuda(_: Any) -> Any:
    """A session of the probe that computes."""
    return SimpleNamespace(run=lambda *_: [np.full((1, 1, 1, 1), 10.0, dtype=np.float32)])


def failing(_: Any) -> Any:
    raise RuntimeError("CUDA failure 209: no kernel image is available\nmore")


def test_failing_run_is_one_line(graph: Path) -> None:
    session = OnnxSession(graph, "cpu")
    with pytest.raises(BackendError, match=r"context_image\.onnx failed on cpu: .+") as caught:
        session.run({"codes": np.zeros((1, 3), dtype=np.int32)})
    assert "\n" not in str(caught.value)


def test_damaged_graph_is_one_line_and_silent(
    graph: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "context_image.onnx"
    path.write_bytes(b"\x08\x07nonsense")
    with pytest.raises(BackendError, match=r"cannot load .*context_image\.onnx: ") as caught:
        OnnxSession(path, "cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:-1", "cpu:1"])
def test_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=r"device must be auto, cpu, cuda, .*<index>, got '"):
        choose_device(device)


def test_cuda_that_was_not_built_in_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    choice = choose_device("auto")
    assert choice.device == "cpu"
    assert "was built without CUDA" in choice.reason
    with pytest.raises(BackendError, match=r"cuda cannot be used: .* without CUDA; ") as caught:
        choose_device("cuda")
    assert install_line("gpu") in str(caught.value)


def test_listed_cuda_without_a_driver_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    list_cuda(monkeypatch, on_cuda)
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")
    choice = choose_device("auto")
    assert (choice.device, "there is no NVIDIA driver" in choice.reason) == ("cpu", True)
    with pytest.raises(BackendError, match=r"cuda:2 cannot .*: there is no NVIDIA driver .*; "):
        choose_device("cuda:2")
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("driver")
def test_provider_that_lists_but_does_not_compute_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    list_cuda(monkeypatch, failing)
    with pytest.raises(BackendError, match=r"cuda:0 does not start .* \(CUDA failure 209: no"):
        choose_device("cuda")
    with pytest.raises(BackendError, match="there is no GPU 3: the driver lists 1"):
        choose_device("cuda:3")


@pytest.mark.usefixtures("driver")
def test_cuda_that_computes_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list_cuda(monkeypatch, on_cuda)
    choice = choose_device("auto")
    assert (choice.device, choice.reason) == ("cuda:0", "CUDA starts")
    assert choose_device("cuda").device == "cuda:0"
    _, options = asked[-1]
    assert (options["device_id"], options["use_tf32"]) == ("0", "0")


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        (
            "libcublasLt.so.13: cannot open shared object file",
            r"CUDA version: pip install .*\[cuda",
        ),
        ("libcudnn.so.9: cannot open shared object file", "install cuDNN 9"),
        ("libcuda.so.1: cannot open shared object file", "install the NVIDIA driver"),
        ("libnvinfer.so.10: cannot open shared object file", "tensorrt<11"),
        ("CUDA driver version is insufficient for CUDA runtime version", "update the NVIDIA dri"),
        ("something new", "echoes-rt doctor shows"),
    ],
)
def test_each_known_trap_has_its_mend(said: str, mend: str) -> None:
    assert re.search(mend, probe.with_mend(said).partition("; ")[2])


def test_session_on_cuda_never_runs_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    list_cuda(monkeypatch, lambda graph: REAL_SESSION(graph, providers=["CPUExecutionProvider"]))
    with pytest.raises(BackendError, match=r"context_image\.onnx does not run on cuda:0"):
        OnnxSession(graph, "cuda:0")


@pytest.mark.skipif(
    not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"),
    reason="this ONNX Runtime does not tell",
)
def test_nodes_that_fell_to_the_cpu_are_found_one_by_one(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    list_cuda(monkeypatch, lambda graph: SaysCuda(graph, tells=True))
    with pytest.raises(BackendError, match=r"context_image\.onnx would run on the CPU .* MatMul"):
        OnnxSession(graph, "cuda:0")


def test_older_onnxruntime_that_does_not_tell_is_trusted(
    monkeypatch: pytest.MonkeyPatch, graph: Path
) -> None:
    list_cuda(monkeypatch, SaysCuda)
    assert OnnxSession(graph, "cuda:0").device == "cuda:0"


def test_shapes_may_stay_on_the_cpu() -> None:
    found = {
        "CUDAExecutionProvider": Counter(MatMul=9),
        "CPUExecutionProvider": Counter(Shape=2, Gather=1),
    }
    onnx.check_coverage("context_image.onnx", found, "cuda:0")
    found["CPUExecutionProvider"]["FusedMatMul"] += 1
    with pytest.raises(BackendError, match=r"although cuda:0 was asked for \(1 FusedMatMul\)"):
        onnx.check_coverage("context_image.onnx", found, "cuda:0")


@pytest.mark.parametrize("device", ["openvino", "webgpu"])
def test_missing_plugin_names_its_package(device: str) -> None:
    provider = PROVIDERS[device]
    if importlib.util.find_spec(str(provider.package)) is not None:
        pytest.skip(f"{provider.package} is installed")
    with pytest.raises(BackendError) as caught:
        choose_device(device)
    assert str(caught.value).startswith(f"device {device} cannot be used: ONNX Runtime ")
    assert str(caught.value).endswith(provider.remedy)


def test_plugin_is_registered_once_and_asked_for_by_its_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the plugins' own pages say: register, find the provider's devices, add one of them."""
    calls: list[Any] = []
    part = SimpleNamespace(ep_name="WebGpuExecutionProvider")
    devices: list[Any] = []

    def register(name: str, path: str) -> None:
        calls.append((name, path))
        devices.append(part)

    package = SimpleNamespace(get_library_path=lambda: "/plugins/libwebgpu.so")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", package)
    module = SimpleNamespace(
        __version__="1.31.1",
        get_available_providers=lambda: ["CPUExecutionProvider"],
        get_ep_devices=lambda: devices,
        register_execution_provider_library=register,
    )
    options = SimpleNamespace(add_provider_for_devices=lambda *given: calls.append(given))
    for _ in range(2):
        assert add_provider(module, options, parse_device("webgpu")) is None  # type: ignore[arg-type]
    assert calls == [
        ("WebGpuExecutionProvider", "/plugins/libwebgpu.so"),
        ([part], {}),
        ([part], {}),
    ]


needs_gpu_build = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="needs onnxruntime-gpu",
)


@needs_gpu_build
def test_gpu_build_without_a_driver_fails_with_our_line(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        CudaDriver.load()
    except BackendError:
        with pytest.raises(BackendError, match="device cuda cannot be used: there is no NVIDIA dr"):
            choose_device("cuda")
        assert choose_device("auto").device == "cpu"
        assert capfd.readouterr() == ("", "")
    else:
        pytest.skip("there is a driver here")


@needs_gpu_build
def test_gpu_build_on_a_driver_alone_never_runs_on_the_cpu(
    driver: FakeDriver, graph: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the true wheel: neither CUDA's libraries nor a GPU behind the driver."""
    if not is_missing("libcuda.so.1"):
        pytest.skip("there is a driver here")
    with pytest.raises(BackendError) as caught:
        choose_device("cuda")
    line = str(caught.value)
    assert line.startswith("device cuda cannot be used: ")
    assert "; " in line, "no mend"
    assert "\n" not in line
    assert choose_device("auto").device == "cpu"
    assert capfd.readouterr() == ("", "")
    with pytest.raises(BackendError, match=r"context_image\.onnx .*cuda:0"):
        OnnxSession(graph, "cuda:0")


def is_missing(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return True
    return False


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs cc, Linux")
def test_libraries_are_found_in_nvidia_packages_of_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere" / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    lacked, provider = folder / "libechoes_lacked.so.7", tmp_path / "libechoes_provider.so"
    source = tmp_path / "empty.c"
    source.write_text("int echoes_nothing;")
    shared = ["cc", "-shared", "-fPIC", "-Wl,--no-as-needed"]
    named = f"-Wl,-soname,{lacked.name}"
    subprocess.run([*shared, named, "-o", lacked, source], check=True)
    subprocess.run([*shared, "-o", provider, source, lacked], check=True)
    with pytest.raises(OSError, match="libechoes_lacked"):
        probe._load_library(str(provider))
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    probe._load_library(str(provider))


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="needs the export extra")
def test_probe_needs_a_kernel_of_each_library() -> None:
    import onnx

    model = onnx.load_from_string(probe._GRAPH)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv", "MatMul", "Add"]
    session = REAL_SESSION(probe._GRAPH, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": probe._X})[0].item() == probe._Y
