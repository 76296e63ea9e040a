import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.runtime.conftest import FakeDriver
from tests.runtime.fakes.cuda_session import SaysCuda, list_cuda

from echoes_rt.backends import select
from echoes_rt.model import Model
from echoes_rt.nvidia import gpu as gpu_module
from echoes_rt.nvidia import system as nvidia_system
from echoes_rt.nvidia.gpu_time import gpu_time
from echoes_rt.profile.stages import TOTAL, Question, generate


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


def test_cuda_works_in_our_stream_so_that_events_time_it(
    driver: FakeDriver,
    tiny_bundle: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = list_cuda(monkeypatch, SaysCuda)
    monkeypatch.setattr(select, "missing_provider", lambda _: None)
    model = Model.load(tiny_bundle, device="cuda", threads=1)
    sampling = model.sampling(8, {"steps": 3})
    question = Question(picture=picture, out=tmp_path / "out.wav", sampling=sampling)
    found = gpu_time(model, question)
    assert found is not None
    calls = {name: graph.calls for name, graph in found.graphs.items()}
    once = dict.fromkeys(("image_encoder", "context_image", "mel_decoder", "vocoder"), 1)
    assert calls == {**once, "decode_audio_step": 3}
    asked = {Path(graph).stem: options for graph, options in started}
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
