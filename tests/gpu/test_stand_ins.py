"""The real CUDA provider of ONNX Runtime on stand-ins for CUDA's libraries.

They tell what is launched, copied and recorded; nothing is computed. In a process of its own: the
stand-ins stay loaded.
"""

import ctypes
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from echoes_rt.backends.select import DeviceChoice
from echoes_rt.decode import steps
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import make_plan
from echoes_rt.format.sampling import Sampling
from echoes_rt.model import Model
from echoes_rt.nvidia import bound
from echoes_rt.nvidia.bound import BoundStep
from echoes_rt.nvidia.gpu_check import PASSED
from echoes_rt.nvidia.gpu_check.checks import check_soak
from echoes_rt.nvidia.gpu_check.run import check_profile
from echoes_rt.profile import report
from echoes_rt.profile.cold_start import ColdStart

_ROOT = Path(__file__).parents[2]
_SOURCES = Path(__file__).parent / "stand_ins"
_DRIVER = Path(__file__).parents[1] / "runtime" / "fakes" / "cuda_driver.c"
_CUDA_INCLUDE = Path("/usr/local/cuda/include")

_OTHERS = _SOURCES / "libraries.c"
# Each is loaded before the one that needs it; with it what it has of the names below.
_LIBRARIES = {
    "libcuda.so.1": ((_DRIVER, _OTHERS), r"-"),
    "libcudart.so.13": ((_SOURCES / "cudart.c",), r"(?:__)?cuda[A-Z]"),
    "libcublasLt.so.13": ((_OTHERS,), r"cublasLt[A-Z]"),
    "libcublas.so.13": ((_OTHERS,), r"cublas(?!Lt)[A-Z]"),
    "libcudnn.so.9": ((_OTHERS,), r"cudnn[A-Z]"),
    "libcurand.so.10": ((_OTHERS,), r"-"),
}

COUNTS = ("launches", "to_device", "to_host", "recorded", "replayed", "mistakes")


class StandIns:
    """The counters of the stand-in for CUDA's runtime."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def set(self, name: str, value: int) -> None:
        ctypes.c_int.in_dll(self._library, f"fake_{name}").value = value

    def counted(self) -> dict[str, int]:
        """Since it was last asked; mistakes fail."""
        found = {n: ctypes.c_int.in_dll(self._library, f"fake_{n}").value for n in COUNTS}
        for name in COUNTS:
            self.set(name, 0)
        assert not found.pop("mistakes")
        return found


def _stub(name: str) -> str:
    """Makes a handle or does nothing, unless the sources define it."""
    made = "*made = (void *)1" if re.search("Create|LoadData|GetKernel", name) else "(void)made"
    return f"__attribute__((weak)) int {name}(void **made) {{ return {made}, 0; }}\n"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The libraries, in the order in which they are loaded."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu")
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux" or not (_CUDA_INCLUDE / "cuda.h").exists():
        pytest.skip("the stand-ins need a C compiler, CUDA's headers and Linux")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        folder = tmp_path_factory.mktemp("stand_ins")
    else:
        pytest.skip("there is a driver here")
    provider = Path(onnxruntime.__file__).parent / "capi/libonnxruntime_providers_cuda.so"
    found = re.findall(rb"(?<=\0)\w*cu(?:blas|dnn|da)[A-Z]\w+(?=\0)", provider.read_bytes())
    asked = sorted({name.decode() for name in found})
    for name, (sources, names) in _LIBRARIES.items():
        stubs = folder / f"{name}.c"
        stubs.write_text("".join(_stub(n) for n in asked if re.match(names, n)))
        script = folder / f"{name}.map"
        script.write_text(f"{name} {{ global: *; }};")
        command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-DHAVE_CUDA_H"]
        command += [f"-I{_CUDA_INCLUDE}", f"-Wl,-soname,{name}"]
        if name != "libcudnn.so.9":  # which is looked for by names alone
            command.append(f"-Wl,--version-script={script}")
        command += ["-o", str(folder / name), *map(str, sources), str(stubs), "-ldl"]
        subprocess.run(command, check=True)
    return [folder / name for name in _LIBRARIES]


@pytest.fixture(scope="module")
def libraries(compiled: list[Path]) -> ctypes.CDLL:
    loaded = {path.name: ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL) for path in compiled}
    return loaded["libcudart.so.13"]


@pytest.fixture
def stand_ins(libraries: ctypes.CDLL) -> Iterator[StandIns]:
    made = StandIns(libraries)
    made.set("gives_zeroes", 1)
    made.counted()
    yield made
    made.set("refuses_recording", 0)


@pytest.fixture
def model(stand_ins: StandIns, tiny_bundle: Path) -> Model:
    cpu = Model.load(tiny_bundle, device="cpu", threads=1)
    return Model(cpu.bundle, DeviceChoice(device="cuda:0", reason="stands in"), threads=1)


def decode(model: Model, members: int = 1, n_steps: int = 3) -> None:
    grid = model.manifest.tokens.audio
    session = model.session("decode_audio_step")
    assert isinstance(session, BoundStep)
    tokens = np.full((members, grid.n_tokens), grid.mask_token, dtype=np.int32)
    plan = make_plan(tokens == grid.mask_token, grid.order, Sampling(steps=n_steps))
    spec = session.inputs["context"]
    context = np.zeros((members, *map(int, spec.shape[1:])), dtype=spec.dtype)
    steps.decode(session, tokens, context, plan, uniforms(range(members), 0, grid.n_tokens))


def test_a_decoding_is_recorded_once_and_then_three_copies_and_a_launch_a_step(
    model: Model, stand_ins: StandIns
) -> None:
    model.prepare("decode_audio_step")
    stand_ins.counted()
    decode(model)
    assert stand_ins.counted()["recorded"] == 3
    again = {"launches": 0, "to_device": 3, "to_host": 1, "recorded": 0, "replayed": 3}
    decode(model)
    assert stand_ins.counted() == again
    for _ in range(3):
        thread = threading.Thread(target=decode, args=(model,))
        thread.start()
        thread.join()
        assert stand_ins.counted() == again, "each thread records again"
    assert model.unrecorded() == {}


def test_sizes_beyond_the_limit_run_without_recording(
    model: Model, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound, "MAX_GRAPHS", 3)
    decode(model)
    stand_ins.counted()
    decode(model, members=2)
    counted = stand_ins.counted()
    assert counted["launches"] > 3
    assert (counted["recorded"], counted["replayed"]) == (0, 0)
    decode(model)
    assert stand_ins.counted()["replayed"] == 3


def test_a_failing_recording_is_told_and_the_decoding_goes_on(
    model: Model, stand_ins: StandIns, caplog: pytest.LogCaptureFixture
) -> None:
    stand_ins.set("refuses_recording", 1)
    decode(model)
    assert stand_ins.counted()["launches"] > 3
    assert model.unrecorded().keys() == {"decode_audio_step"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_session_starts_in_silence(model: Model, capfd: pytest.CaptureFixture[str]) -> None:
    model.prepare("decode_audio_step", "vocoder")
    assert capfd.readouterr() == ("", "")


def test_the_ways_of_gpu_check(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    # A fresh process knows no stand-ins.
    cold = ColdStart(**dict.fromkeys(ColdStart.__dataclass_fields__, 1.0))
    monkeypatch.setattr(report, "cold_start", lambda _: cold)
    assert check_soak(model, 0.0).figures["different"] == 0
    outcome = check_profile(model, 1, lambda _: None)
    assert outcome.status == PASSED, outcome.said
    gpu = outcome.figures["gpu"]
    assert isinstance(gpu, dict)
    step = gpu["graphs"]["decode_audio_step"]
    assert step["launches"] == step["calls"] > 0


def test_the_library_for_c_records_once_and_then_copies_twice_without_a_context(
    compiled: list[Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    """In a process without Python's ONNX Runtime, whose host functions the provider would take."""
    missing = [name for name in ("cmake", "ninja", "c++") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the C++ library is NOT TESTED: there is no {', '.join(missing)}")
    made = tmp_path / "build"
    configure = ["cmake", "-S", str(_ROOT / "cpp_bindings"), "-B", str(made), "-G", "Ninja"]
    configure.append("-DCMAKE_BUILD_TYPE=Debug")  # is built in half the time
    for command in (configure, ["cmake", "--build", str(made), "--target", "echoes_rt"]):
        subprocess.run(command, check=True, capture_output=True)
    ort = Path(onnxruntime.__file__).parent / "capi"
    command = [sys.executable, str(_SOURCES / "native_decoding.py"), str(made), str(ort)]
    command += [str(tiny_bundle), *map(str, compiled)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, again, other_thread, refused = map(json.loads, done.stdout.splitlines())
    assert first["recorded"] == 3
    assert again == {"launches": 0, "to_device": 2, "to_host": 1, "recorded": 0, "replayed": 3}
    assert other_thread == again, "each thread records again"
    assert refused["recorded"] == refused["replayed"] == 0
