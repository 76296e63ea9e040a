"""The C++ library's TensorRT backend: a GPU and TensorRT that are not there, real records."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import SOURCE, run, tool
from tests.runtime.fakes.engines import write_engine

from echoes_rt.spec.engine_file import file_sha256, record_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_LIBRARY_PATH is of Linux")

FAKES = SOURCE / "tests" / "fake_tensorrt"
DRIVER = Path(__file__).parents[1] / "runtime" / "fakes" / "cuda_driver.c"
GRAPHS = ("decode", "step", "image_encoder", "mel_decoder", "vocoder")


@pytest.fixture(scope="module")
def program(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test program of a library with TensorRT, beside what stands for a GPU."""
    folder = tmp_path_factory.mktemp("tensorrt")
    cmake, ninja = str(tool("cmake")), tool("ninja")
    run(
        cmake,
        *("-S", SOURCE, "-B", folder, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"),
        *("-DCMAKE_BUILD_TYPE=Release", "-DECHOES_STRICT=ON"),
        *(f"-DECHOES_NVINFER_INCLUDE={FAKES}", f"-DECHOES_CUDA_INCLUDE={FAKES}"),
    )
    run(cmake, "--build", folder, "--target", "print_codes", "fake_nvinfer")
    run(str(tool("cc")), "-shared", "-fPIC", "-o", folder / "libcuda.so.1", DRIVER)
    return folder / "tests" / "print_codes"


@pytest.fixture
def ask(program: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run_it(
        bundle: Path, *, device: str = "tensorrt", has_driver: bool = True, max_batch: int = 2
    ) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "ECHOES_RT_TENSORRT": str(program.parent / "libfake_nvinfer.so")}
        env["FAKE_MAX_BATCH"] = str(max_batch)
        if has_driver:
            env["LD_LIBRARY_PATH"] = str(program.parents[1])
        command = [str(program), str(bundle), "2", device]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)

    return run_it


@pytest.fixture
def engines(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes engines into a copy of the tiny bundle, with their records."""
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)

    def write(*graphs: str, **changes: Any) -> Path:
        for graph in graphs:
            write_engine(folder, graph, **changes)
        return folder

    return write


def spoil(folder: Path) -> None:
    """No engine, whose record fits it."""
    path = next((folder / "engines").glob("*.engine"))
    path.write_text("no engine", "utf-8")
    data = json.loads(record_path(path).read_text("utf-8"))
    record_path(path).write_text(json.dumps({**data, "engine_sha256": file_sha256(path)}), "utf-8")


Ask = Callable[..., "subprocess.CompletedProcess[str]"]
Engines = Callable[..., Path]


@pytest.mark.parametrize("graphs", [("decode",), ("step",), GRAPHS])
def test_engines_give_the_codes_of_the_cpu(
    ask: Ask, engines: Engines, graphs: tuple[str, ...]
) -> None:
    bundle = engines(*graphs)
    expected = ask(bundle, device="cpu", has_driver=False)
    assert expected.returncode == 0, expected.stderr
    # The engine takes at least 5 steps, and the bundle has 4: the plan is filled up.
    assert len(expected.stdout.splitlines()) == 32
    made = ask(bundle)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == expected.stdout
    assert ask(bundle, device="auto").stdout == expected.stdout


def test_guided_branches_go_one_by_one_through_a_small_engine(ask: Ask, engines: Engines) -> None:
    bundle = engines("step")
    expected = ask(bundle, device="cpu", has_driver=False)
    assert ask(bundle, max_batch=1).stdout == expected.stdout


@pytest.mark.parametrize("graph", ["step", "decode"])
def test_the_engine_is_what_runs(ask: Ask, engines: Engines, graph: str) -> None:
    """An engine that does not load cannot have been passed over."""
    spoil(engines(graph))
    assert f"engine {graph}.tensorrt.sm89.fp16.engine does not load" in ask(engines()).stderr


def test_without_a_driver(ask: Ask, engines: Engines) -> None:
    refused = ask(engines("decode"), has_driver=False)
    assert refused.returncode == 1
    assert "device tensorrt cannot be used: there is no NVIDIA driver (libcuda.so.1" in (
        refused.stderr
    )
    assert refused.stderr.count("\n") == 1
    assert ask(engines("decode"), device="auto", has_driver=False).returncode == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_sha256": "0" * 64}, "was built from another bundle"),
        ({"flavour": "rtx"}, "is of rtx, and tensorrt runs here"),
        ({"version": "10.16.2.11"}, "was built by version 10.16.2.11, and version 10.16.2.10 runs"),
        ({"version": "10.16.21"}, "was built by version 10.16.21, and version 10.16.2.10 runs"),
        ({"sm": 87}, "was built for sm_87, and this is sm_89"),
        ({"driver": "1.2"}, "was built with driver 1.2, and driver "),
        ({"l4t": "36.4.3"}, "was built on Jetson Linux 36.4.3, and this is "),
    ],
)
def test_stale_engines_are_refused(
    ask: Ask, engines: Engines, changes: dict[str, Any], said: str
) -> None:
    refused = ask(engines("decode", **changes))
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "build it again with echoes-export engine --backend tensorrt" in refused.stderr


def test_damaged_engines_are_refused(ask: Ask, engines: Engines) -> None:
    path = next((engines("decode") / "engines").glob("*.engine"))
    path.write_text("engine of nothing", "utf-8")
    refused = ask(path.parents[1])
    assert "is damaged: its sha256 is another" in refused.stderr
    record = record_path(path)
    data = json.loads(record.read_text("utf-8"))
    record.write_text("{", "utf-8")
    assert "is no record of an engine" in ask(path.parents[1]).stderr
    record.write_text(json.dumps({"schema": 2}), "utf-8")
    assert "was built by another version of echoes-rt" in ask(path.parents[1]).stderr
    record.write_text(json.dumps({**data, "driver": 580}), "utf-8")
    assert "is no record of an engine" in ask(path.parents[1]).stderr
    record.unlink()
    assert "cannot be read" in ask(path.parents[1]).stderr


def test_what_tensorrt_says_is_told(ask: Ask, engines: Engines) -> None:
    folder = engines("decode")
    spoil(folder)
    refused = ask(folder)
    assert "does not load (Error Code 1: bad magic); build it again" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_refusal_of_the_nearest_engine_is_told(ask: Ask, engines: Engines) -> None:
    engines("decode", flavour="rtx")
    assert "was built for sm_87" in ask(engines("decode", sm=87)).stderr


def test_with_tensorrt_it_is_small_too(program: Path, tmp_path: Path) -> None:
    library = program.parents[1] / "libechoes_rt.so"
    run(str(tool("strip")), "-o", tmp_path / "stripped", library)
    assert (tmp_path / "stripped").stat().st_size < 500_000


def test_a_bundle_without_engines(ask: Ask, tiny_bundle: Path) -> None:
    assert "has no TensorRT engine of decode in" in ask(tiny_bundle).stderr
    assert "there is no GPU 3: the driver lists 1" in ask(tiny_bundle, device="tensorrt:3").stderr


def test_a_library_without_tensorrt(build: Path, tiny_bundle: Path) -> None:
    command = [str(build / "tests" / "print_codes"), str(tiny_bundle), "1", "tensorrt"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "this library was built without TensorRT; build it where NvInfer.h" in refused.stderr
