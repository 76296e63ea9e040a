import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
from tests.runtime.conftest import FakeDriver

from echoes_rt.backends import select
from echoes_rt.model import Model
from echoes_rt.nvidia import gpu as gpu_module
from echoes_rt.nvidia import system as nvidia_system
from echoes_rt.nvidia.gpu_time import GpuTime, gpu_time
from echoes_rt.profile.stages import TOTAL, Question, generate
from echoes_rt.profile.table import _gpu_lines

REAL_SESSION, REAL_VALUE = onnxruntime.InferenceSession, onnxruntime.OrtValue


@pytest.fixture
def model(tensorrt: Any, add_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Model:
    missing = "ONNX Runtime was built without CUDA; -"
    monkeypatch.setattr(select, "missing_provider", lambda _: missing)
    monkeypatch.setattr(nvidia_system, "power_mode", lambda: "MAXN")
    monkeypatch.setattr(nvidia_system, "clocks_mhz", lambda: (900.0, 1000.0))
    return Model.load(add_engine("decode_audio"), device="tensorrt", threads=1)


@pytest.fixture
def question(model: Model, picture: Path, tmp_path: Path) -> Question:
    return Question(picture=picture, out=tmp_path / "out.wav", sampling=model.sampling(8))


def test_device_time_is_what_the_events_say(model: Model, question: Question) -> None:
    found = gpu_time(model, question)
    assert found is not None
    # The fake driver's events are 2.5 ms apart. The rest of the graphs runs on the CPU.
    assert found.graphs.keys() == {"decode_audio"}
    decode = found.graphs["decode_audio"]
    assert (decode.calls, decode.launches, decode.device_ms) == (1, 1, 2.5)
    assert found.device_ms == 2.5
    assert found.gap_ms == pytest.approx(found.total_ms - 2.5)
    assert found.memory_mb == 0
    assert (found.name, found.power_mode, found.clocks_mhz) == ("Fake GPU 0", "MAXN", (900, 1000))


class OnHost:
    """A buffer that is asked for on a GPU, and lies in the host's memory."""

    @classmethod
    def ortvalue_from_shape_and_type(cls, shape: Any, dtype: Any, kind: str, index: int) -> Any:
        assert (kind, index) == ("cuda", 0)
        return REAL_VALUE.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)


class SaysCuda:
    """A session on the CPU that says it is on CUDA."""

    def __init__(self, graph: str) -> None:
        self._session = REAL_SESSION(graph, providers=["CPUExecutionProvider"])
        self.run = self._session.run
        self.io_binding = self._session.io_binding
        self.get_inputs, self.get_outputs = self._session.get_inputs, self._session.get_outputs
        self.recorded: list[str] = []

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.recorded.append(options.get_run_config_entry("gpu_graph_id"))
        self._session.run_with_iobinding(binding)

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"]


@pytest.fixture
def asked(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options with which each graph was started on CUDA, by the graph's name."""
    asked: dict[str, Any] = {}

    def start(graph: str, providers: list[Any], **_: Any) -> SaysCuda:
        ((name, options),) = providers
        assert name == "CUDAExecutionProvider"
        asked[Path(graph).stem] = options
        return SaysCuda(graph)

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    monkeypatch.setattr(onnxruntime, "OrtValue", OnHost)
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(select, "missing_provider", lambda _: None)
    return asked


def test_cuda_works_in_our_stream_so_that_events_time_it(
    asked: dict[str, Any], tiny_bundle: Path, picture: Path, tmp_path: Path
) -> None:
    model = Model.load(tiny_bundle, device="cuda", threads=1)
    sampling = model.sampling(8, {"steps": 3})
    question = Question(picture=picture, out=tmp_path / "out.wav", sampling=sampling)
    found = gpu_time(model, question)
    assert found is not None
    calls = {name: graph.calls for name, graph in found.graphs.items()}
    once = dict.fromkeys(("image_encoder", "context_image", "mel_decoder", "vocoder"), 1)
    assert calls == {**once, "decode_audio_step": 3}
    assert asked.keys() == calls.keys()
    # The fake driver's one stream.
    assert {options["user_compute_stream"] for options in asked.values()} == {str(0x57)}
    assert [name for name in asked if "enable_cuda_graph" in asked[name]] == ["decode_audio_step"]
    step = found.graphs["decode_audio_step"]
    assert (step.device_ms, step.launches) == (7.5, 3)  # recorded steps, 2.5 ms each
    assert 0 < step.wall_ms < found.total_ms
    assert found.device_ms == 17.5


def test_an_engine_of_the_loop_tells_of_no_steps(model: Model, question: Question) -> None:
    names = [span.name for span in generate(model, question)]
    assert names[-1] == TOTAL
    assert not [name for name in names if name.startswith("step ")]


def test_other_devices_have_no_gpu_time(tiny_bundle: Path, question: Question) -> None:
    assert gpu_time(Model.load(tiny_bundle, device="cpu"), question) is None


def test_report_names_gaps_memory_and_power() -> None:
    found = GpuTime(
        name="Orin",
        graphs={},
        total_ms=12.0,
        memory_mb=300.4,
        power_mode="15W",
        clocks_mhz=(306.0, 1020.0),
    )
    assert _gpu_lines(found) == [
        "GPU               Orin: 300 MB, power 15W, 306 of 1020 MHz",
        "device time       0.00 of 12.00 ms, 12.00 ms without work",
    ]
    assert _gpu_lines(None) == []


def test_stages_have_names_in_nsight(
    model: Model,
    question: Question,
    driver: FakeDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, str]] = []

    @contextmanager
    def annotate(name: str, domain: str) -> Any:
        seen.append((name, domain))
        yield

    monkeypatch.setitem(sys.modules, "nvtx", SimpleNamespace(annotate=annotate))
    gpu_module._annotate.cache_clear()
    generate(model, question)
    gpu_module._annotate.cache_clear()
    assert {"encode_image", "decode_tokens", "vocode"} <= {name for name, _ in seen}
    assert {domain for _, domain in seen} == {"echoes-rt"}
