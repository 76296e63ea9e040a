import gc
import importlib.util
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.conftest import FakeDriver
from tests.runtime.fakes import fake_tensorrt

from echoes_rt import Echoes
from echoes_rt.backends import select
from echoes_rt.backends.select import choose_device
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BackendError, CancelledError, InputError
from echoes_rt.format import engine_file
from echoes_rt.format.engine_file import file_sha256
from echoes_rt.nvidia.engines import make_log

AddEngine = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_cuda_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake driver would have ONNX Runtime's GPU build, if installed, look for a true one."""
    missing = "ONNX Runtime was built without CUDA; -"
    monkeypatch.setattr(select, "missing_provider", lambda _: missing)


def question(echoes: Echoes, members: int) -> tuple[str, np.ndarray, np.ndarray]:
    layout = echoes.manifest.tokens
    tokens = np.full((members, layout.audio.n_tokens), layout.audio.mask_token, dtype=np.int32)
    image = np.arange(layout.image.n_tokens, dtype=np.int32) % layout.image.codebook_size
    return "audio", tokens, np.repeat(image[None], members, axis=0)


@pytest.mark.parametrize("is_integrated", [0, 1])
def test_engine_gives_the_tokens_of_the_cpu(
    is_integrated: int, driver: FakeDriver, tensorrt: Any, add_engine: AddEngine
) -> None:
    driver.set(integrated=is_integrated)
    folder = add_engine("decode_audio")
    cpu, gpu = (Echoes.load(folder, device=device) for device in ("cpu", "tensorrt"))
    assert gpu.choice.device == "tensorrt:0"
    assert "decode_audio fp16 by tensorrt 10.16.2.10" in gpu.choice.reason
    # One at a time, more than the engine takes at once, and recorded graphs played again.
    # A plan of fewer steps than the engine takes is filled up.
    for seeds, steps in (([5], 4), ([7], 4), ([1], 4), ([1, 2, 3, 4, 5], 4), ([9], 4), ([1, 2], 1)):
        asked = question(cpu, len(seeds))
        sampling = cpu.sampling(8, {"steps": steps})
        expected = cpu.decode_tokens(*asked, seeds=seeds, sampling=sampling)
        made = gpu.decode_tokens(*asked, seeds=seeds, sampling=sampling)
        np.testing.assert_array_equal(made, expected)
    assert driver.get("launches") > 0
    assert (driver.get("copies") == 0) == bool(is_integrated)


def test_more_steps_than_the_engine_takes_are_refused(tensorrt: Any, add_engine: AddEngine) -> None:
    gpu = Echoes.load(add_engine("decode_audio"), device="tensorrt")
    with pytest.raises(InputError, match=r"steps must be at most 6 with this Ten.*, got 8"):
        gpu.decode_tokens(*question(gpu, 1), seeds=[1], sampling=gpu.sampling(8, {"steps": 8}))


def test_without_a_context_the_step_decodes_where_there_is_no_engine(
    driver: FakeDriver, tensorrt: Any, add_engine: AddEngine
) -> None:
    folder = add_engine("decode_audio")
    cpu, gpu = (Echoes.load(folder, device=device) for device in ("cpu", "tensorrt"))
    target, tokens, _ = question(cpu, 2)
    made = [e.decode_tokens(target, tokens, seeds=[1, 2]) for e in (cpu, gpu)]
    np.testing.assert_array_equal(*made)
    assert driver.get("allocations") == 0


def test_steps_of_one_call_are_told_after_it(
    tensorrt: Any, add_engine: AddEngine, picture: Path
) -> None:
    gpu = Echoes.load(add_engine("decode_audio"), device="tensorrt")
    told: list[tuple[int, int]] = []
    gpu.generate(picture, seed=1, on_step=lambda step, steps: told.append((step, steps)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)]
    with pytest.raises(CancelledError, match="after step 1 of 4"):
        gpu.generate(picture, seed=1, on_step=lambda *_: False)


def test_engines_of_one_gpu_take_turns_in_its_stream(
    driver: FakeDriver, tensorrt: Any, add_engine: AddEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_engine("decode_audio")
    gpu = Echoes.load(add_engine("mel_decoder"), device="tensorrt")
    asked = question(gpu, 1)

    def decode() -> np.ndarray:
        return gpu.decode_tokens(*asked, seeds=[1])

    codes = np.zeros((1, gpu.manifest.tokens.audio.n_tokens), dtype=np.int32)
    expected = decode(), gpu.decode_mel(codes)
    execute = fake_tensorrt.IExecutionContext.execute_async_v3
    meeting = threading.Barrier(2, timeout=1)
    met: list[int] = []

    def meet(context: fake_tensorrt.IExecutionContext, stream_handle: int) -> bool:
        with suppress(threading.BrokenBarrierError):  # nobody else is in the stream
            met.append(meeting.wait())
        return execute(context, stream_handle)

    monkeypatch.setattr(fake_tensorrt.IExecutionContext, "execute_async_v3", meet)
    with ThreadPoolExecutor(2) as pool:  # the second call of each is recorded
        made = pool.submit(decode), pool.submit(gpu.decode_mel, codes)
    for future, array in zip(made, expected, strict=True):
        np.testing.assert_array_equal(future.result(), array)
    assert met == []
    assert driver.get("launches") == 2


def test_memory_goes_with_the_session(
    driver: FakeDriver, tensorrt: Any, add_engine: AddEngine
) -> None:
    gpu = Echoes.load(add_engine("decode_audio"), device="tensorrt")
    for seed in range(3):
        gpu.decode_tokens(*question(gpu, 1), seeds=[seed])
    assert (driver.get("allocations"), driver.get("launches")) == (14, 2)  # 7 tensors, twice
    del gpu
    gc.collect()
    assert driver.get("allocations") == 0


@pytest.mark.parametrize("refusal", ["capture", "variable"])
def test_without_a_cuda_graph_every_call_is_enqueued(
    refusal: str,
    driver: FakeDriver,
    tensorrt: Any,
    add_engine: AddEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if refusal == "capture":
        driver.set(refuses_capture=1)
    else:
        monkeypatch.setenv("ECHOES_RT_CUDA_GRAPH", "0")
    folder = add_engine("decode_audio")
    cpu, gpu = (Echoes.load(folder, device=device) for device in ("cpu", "tensorrt"))
    for seed in range(3):
        asked = question(cpu, 1)
        np.testing.assert_array_equal(
            gpu.decode_tokens(*asked, seeds=[seed]), cpu.decode_tokens(*asked, seeds=[seed])
        )
    assert driver.get("launches") == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sm": 87}, "was built for sm_87, and this is sm_89"),
        ({"version": "10.3.0"}, "was built by version 10.3.0, and version 10.16.2.10 runs here"),
        ({"model_sha256": "0" * 64}, "was built from another bundle"),
        ({"l4t": "36.4.3"}, "was built on Jetson Linux 36.4.3, and this is None"),
        ({"flavour": "rtx"}, "needs tensorrt_rtx, which cannot be imported"),
    ],
)
def test_foreign_engine_is_refused_by_name_and_passed_over_by_auto(
    changes: dict[str, Any], sentence: str, tensorrt: Any, add_engine: AddEngine
) -> None:
    folder = add_engine("decode_audio", **changes)
    with pytest.raises(BackendError, match=f"device tensorrt cannot be used: engine .*{sentence}"):
        Echoes.load(folder, device="tensorrt")
    choice = choose_device("auto", Bundle.open(folder))
    assert choice.device == "cpu"
    assert sentence in choice.reason


def test_auto_takes_engines_that_fit(tensorrt: Any, add_engine: AddEngine) -> None:
    add_engine("decode_audio", precision="int8")
    add_engine("decode_audio", precision="fp16")
    folder = add_engine("decode_image", sm=75)
    choice = choose_device("auto", Bundle.open(folder))
    assert choice.device == "tensorrt:0"
    assert [engine.text for engine in choice.engines.values()] == [
        "decode_audio fp16 by tensorrt 10.16.2.10"
    ]
    assert (choice.device_of("decode_audio"), choice.device_of("vocoder")) == ("tensorrt:0", "cpu")


def test_only_the_preferred_engine_of_a_graph_is_read(
    tensorrt: Any, add_engine: AddEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_engine("decode_audio", precision="fp32")
    folder = add_engine("decode_audio")
    read: list[str] = []

    def note(path: Path) -> str:
        read.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(engine_file, "file_sha256", note)
    assert choose_device("tensorrt", Bundle.open(folder)).engines.keys() == {"decode_audio"}
    assert read == ["decode_audio.tensorrt.sm89.fp16.engine"]


def test_missing_library_names_what_to_install(
    driver: FakeDriver, add_engine: AddEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendError, match=r"neither tensorrt nor tensorrt_rtx .*pip install"):
        Echoes.load(add_engine("decode_audio"), device="tensorrt")


def test_missing_gpu_and_failing_driver_are_named(
    driver: FakeDriver, tensorrt: Any, add_engine: AddEngine
) -> None:
    folder = add_engine("decode_audio")
    with pytest.raises(BackendError, match="there is no GPU 1: the driver lists 1"):
        Echoes.load(folder, device="tensorrt:1")
    driver.set(init_error=100)
    with pytest.raises(BackendError, match=r"no CUDA-capable device .*; see that nvidia-smi works"):
        Echoes.load(folder, device="tensorrt")


def test_engine_that_does_not_load_says_what_tensorrt_said(
    tensorrt: Any, add_engine: AddEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_tensorrt.Runtime, "deserialize_cuda_engine", refuse)
    gpu = Echoes.load(add_engine("decode_audio"), device="tensorrt")
    with pytest.raises(BackendError, match=r"does not load \(Error Code 1: bad magic\); build it"):
        gpu.prepare("decode_audio")


def refuse(runtime: fake_tensorrt.Runtime, _: bytes) -> None:
    runtime.logger.log(fake_tensorrt.ILogger.ERROR, "Error Code 1:\n  bad magic")  # type: ignore[attr-defined]


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="not installed")
def test_names_are_tensorrts_own() -> None:
    import tensorrt_rtx

    log = make_log(tensorrt_rtx)
    assert tensorrt_rtx.Runtime(log).deserialize_cuda_engine(b"no engine") is None
    assert log.errors

    for name in ("Runtime", "ICudaEngine", "IExecutionContext", "ILogger", "TensorIOMode"):
        real, fake = getattr(tensorrt_rtx, name), getattr(fake_tensorrt, name)
        ours = {key for key in vars(fake) if not key.startswith("_")}
        assert ours - {"driver", "limits", "runs"} <= set(dir(real))
    assert callable(tensorrt_rtx.nptype)
    assert hasattr(tensorrt_rtx.CudaGraphStrategy, "WHOLE_GRAPH_CAPTURE")
    assert hasattr(tensorrt_rtx.IRuntimeConfig, "cuda_graph_strategy")
    assert hasattr(tensorrt_rtx.ICudaEngine, "create_runtime_config")
