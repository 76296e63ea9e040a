"""The tiny model, and a GPU that is not there: NVIDIA's driver and TensorRT, fake."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.commands import Run, runner
from tests.runtime.fakes import fake_tensorrt
from tests.runtime.fakes.engines import write_engine

from echoes_rt import Echoes
from echoes_rt.nvidia import cuda_driver

Encoded = Callable[..., Path]

_SOURCE = Path(__file__).parent / "fakes" / "cuda_driver.c"
_CUDA_INCLUDE = Path("/usr/local/cuda/include")

_DEFAULTS = {"integrated": 0, "devices": 1, "sm": 89, "init_error": 0, "refuses_capture": 0}
_COUNTERS = ("launches", "copies", "allocations")


@pytest.fixture(scope="module")
def echoes(tiny_bundle: Path) -> Echoes:
    return Echoes.load(tiny_bundle, device="cpu", threads=1)


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in the test's folder with the tiny bundle as the default."""
    return runner(tiny_bundle, tmp_path, monkeypatch)


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av")


@pytest.fixture
def encoded(av: Any) -> Encoded:
    """Writes two seconds of a tone by FFmpeg."""

    def write(path: Path, codec: str, rate: int = 48_000) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout="mono")
            tone = 0.5 * np.sin(np.arange(2 * rate) * (2 * np.pi * 440 / rate))
            for start in range(0, len(tone), 960):
                part = tone[start : start + 960].astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = rate, start
                resampler = av.AudioResampler(stream.format, "mono", rate)
                for ready in resampler.resample(frame):
                    container.mux(stream.encode(ready))
            container.mux(stream.encode(None))
        return path

    return write


class FakeDriver:
    """Sets and reads what the fake driver's globals hold."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name, value in {**_DEFAULTS, **dict.fromkeys(_COUNTERS, 0)}.items():
            self.set(**{name: value})

    def set(self, **values: int) -> None:
        for name, value in values.items():
            ctypes.c_int.in_dll(self.library, f"fake_{name}").value = value

    def get(self, name: str) -> int:
        return ctypes.c_int.in_dll(self.library, f"fake_{name}").value


@pytest.fixture(scope="session")
def driver_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the fake driver needs a C compiler and Linux")
    path = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    header = [f"-I{_CUDA_INCLUDE}", "-DHAVE_CUDA_H"] if (_CUDA_INCLUDE / "cuda.h").exists() else []
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = [compiler, "-shared", "-fPIC", *warnings, *header, "-o", str(path), str(_SOURCE)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def driver(driver_library: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    monkeypatch.setattr(cuda_driver, "LIBRARY", str(driver_library))
    return FakeDriver(ctypes.CDLL(str(driver_library)))


@pytest.fixture
def tensorrt(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(fake_tensorrt.Runtime, "driver", driver.library, raising=False)
    limits = {"batch": (1, 4), "seen": (1, 4), "steps": (1, 64), "drawn": (1, 64)}
    monkeypatch.setattr(fake_tensorrt.Runtime, "limits", limits, raising=False)
    return fake_tensorrt


@pytest.fixture
def add_engine(copy: Path) -> Callable[..., Path]:
    """Writes an engine of the fake TensorRT into a copy of the tiny bundle, and its record."""

    def add(graph: str, **changes: Any) -> Path:
        write_engine(copy, graph, **changes)
        return copy

    return add
