import json
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.runtime.conftest import FakeDriver

from echoes_rt.commands.inspect import _nvidia_lines
from echoes_rt.doctor import examine
from echoes_rt.nvidia import advice as doctor_advice
from echoes_rt.nvidia import doctor as doctor_gpu
from echoes_rt.nvidia import system as nvidia_system
from echoes_rt.nvidia.doctor import examine_gpu
from echoes_rt.nvidia.system import architectures, runs_on

TEGRA = (
    "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan"
)
PROC_DRIVER = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs)\n"
    "GCC version:  gcc version 12.3.0\n"
)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system without anything of NVIDIA's, to put files into."""
    for name in ("_PROC_DRIVER", "_TEGRA_RELEASE", "_MODEL", "_DEVFREQ"):
        monkeypatch.setattr(nvidia_system, name, tmp_path / name)
    monkeypatch.setattr(nvidia_system.shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor_advice, "_SYSTEM_TENSORRT", tmp_path / "dist-packages" / "tensorrt")
    monkeypatch.setattr(doctor_advice, "_TOOLKIT", tmp_path / "cuda")
    monkeypatch.setattr(doctor_advice, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(doctor_advice, "_version", lambda _: None)
    monkeypatch.setattr(doctor_gpu, "_library", lambda _: None)
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    return tmp_path


@pytest.fixture
def jetson(system: Path, driver: FakeDriver) -> Path:
    """The same of a Jetson Orin without TensorRT."""
    driver.set(integrated=1, sm=87)
    (system / "_TEGRA_RELEASE").write_text(TEGRA)
    return system


def with_cuda(system: Path, machine_code: list[int]) -> Any:
    """An ONNX Runtime with the CUDA provider."""
    capi = system / "onnxruntime" / "capi"
    capi.mkdir(parents=True)
    write_fatbin(capi / "libonnxruntime_providers_cuda.so", machine_code, [])
    return SimpleNamespace(__file__=str(capi.parent / "__init__.py"), cuda_version="13.0")


def advice_of(onnxruntime: Any = None) -> list[str]:
    found = examine_gpu(onnxruntime)["advice"]
    assert isinstance(found, list)
    return found


def write_fatbin(path: Path, machine_code: list[int], ptx: list[int]) -> None:
    """A library with one container: the layout that nvcc writes, as far as it is read."""
    entries = b""
    for kind, sm in [(2, sm) for sm in machine_code] + [(1, sm) for sm in ptx]:
        entries += struct.pack("<HHIQ", kind, 0x101, 64, 8).ljust(28, b"\0")
        entries += struct.pack("<I", sm).ljust(36, b"\0") + b"x" * 8
    header = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries))
    path.write_bytes(b"\x7fELF" + b"." * 100 + header + entries + b"." * 100)


def test_packages_that_do_not_load_are_problems() -> None:
    code = (
        "import sys; sys.modules.update(cv2=None, PIL=None, soundfile=None, soxr=None); "
        "from echoes_rt.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "doctor", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "")
    packages = ("opencv-python-headless", "pillow", "soundfile", "soxr")
    for package, problem in zip(packages, json.loads(result.stdout)["problems"], strict=True):
        assert problem.startswith(f"{package} cannot be imported (")
        assert problem.endswith(f"; pip install --force-reinstall {package}")


def test_sound_library_that_is_missing_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "soundfile.py").write_text("raise OSError('sndfile library\\nnot found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "soundfile", raising=False)
    (problem,) = examine()["problems"]  # type: ignore[misc]
    assert problem.startswith("soundfile cannot be imported (sndfile library not found); ")


def test_architectures_are_read_off_a_library(tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    write_fatbin(path, [75, 80, 120], [120])
    assert architectures(path) == ({75, 80, 120}, {120})
    path.write_bytes(b"nothing for a GPU" * 10)
    assert architectures(path) == (set(), set())


@pytest.mark.parametrize(
    ("sm", "expected"), [(75, True), (80, True), (87, True), (89, True), (90, False), (110, False)]
)
def test_machine_code_runs_on_its_major_version_from_its_minor_on(sm: int, expected: bool) -> None:
    assert runs_on(sm, {75, 80, 120}, set()) is expected
    assert runs_on(sm, {120}, {75})  # PTX is compiled for whatever is newer
    assert not runs_on(87, {89, 90, 120, 121}, set())  # PyPI's aarch64 wheel on a Jetson Orin


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("36.4.3", "6.2"),
        ("36.4.4", "6.2.1"),
        ("36.4.7", "6.2.1"),
        ("39.2", "7.2"),
        ("39.2.0", "7.2"),
        ("32.7", None),
    ],
)
def test_jetpack_of_a_jetson_linux(l4t: str, jetpack: str | None) -> None:
    assert nvidia_system.jetpack_release(l4t) == jetpack


def test_releases_are_read_off_the_system(system: Path) -> None:
    assert (nvidia_system.driver_release(), nvidia_system.l4t_release()) == (None, None)
    (system / "_PROC_DRIVER").write_text(PROC_DRIVER)
    (system / "_TEGRA_RELEASE").write_text(TEGRA)
    assert nvidia_system.driver_release() == "580.95.05"
    assert nvidia_system.l4t_release() == "36.4.3"


def test_machine_without_a_gpu_gets_no_advice(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echoes_rt.nvidia.cuda_driver.LIBRARY", "libno-such-driver.so.1")
    report: dict[str, Any] = examine_gpu(None)
    assert report["driver"].startswith("there is no NVIDIA driver")
    assert (report["gpus"], report["advice"], report["jetson_linux"]) == ([], [], None)
    assert _nvidia_lines(report) == [f"nvidia    {report['driver']}"]


def test_jetson_is_described_and_each_trap_has_its_mend(
    jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = jetson
    (system / "_MODEL").write_text("NVIDIA Jetson Orin Nano Developer Kit\x00")
    for name in ("cuda", "dist-packages/tensorrt", "_DEVFREQ/17000000.gpu"):
        (system / name).mkdir(parents=True)
    for name, value in {"cur_freq": "306000000", "max_freq": "1020000000"}.items():
        (system / "_DEVFREQ" / "17000000.gpu" / name).write_text(f"{value}\n")
    said = {"nvpmodel": "NV Power Mode: 15W\n0"}
    monkeypatch.setattr(nvidia_system, "_say", lambda name, *_: said.get(name, ""))
    onnxruntime = with_cuda(system, [89, 90, 120, 121])
    onnxruntime.cuda_version = "14.0"
    (system / "meminfo").write_text("MemAvailable:    1000000 kB\nSwapFree:    500000 kB\n")
    report: dict[str, Any] = examine_gpu(onnxruntime)
    assert (report["jetson_linux"], report["jetpack"]) == ("36.4.3", "6.2")
    assert report["board"] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert report["gpus"] == [
        "Fake GPU 0, sm_87, 4 multiprocessors at up to 1500 MHz, 8000 MB shared with the CPU"
    ]
    assert (report["power_mode"], report["clocks_mhz"]) == ("15W", [306.0, 1020.0])
    expected = (
        "no kernels for sm_87",
        "for CUDA 14.0, the driver for up to 13.2",
        "finds no cuDNN, which convolutions need: sudo apt install nvidia-jetpack",
        "1536 MB of memory and swap are free, and building TensorRT engines may take 4000: close",
        "--system-site-packages",
        "export LD_LIBRARY_PATH=",
        "the power mode is 15W: sudo nvpmodel -m",
        "sudo jetson_clocks",
    )
    assert len(report["advice"]) == len(expected)
    for part, advice in zip(expected, report["advice"], strict=True):
        assert part in advice
    lines = "\n".join(_nvidia_lines(report))
    assert "clock: 306 of 1020 MHz" in lines
    assert "tensorrt: not installed" in lines


def test_tensorrt_rtx_is_none_for_a_jetson(jetson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", SimpleNamespace(__version__="1.7.1.116"))
    assert advice_of() == ["JetPack's TensorRT is missing: sudo apt install python3-libnvinfer"]
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.3.0"))
    assert advice_of() == []


@pytest.mark.parametrize(
    ("version", "is_refused"),
    [
        ("10.3.0", False),
        ("10.16.2.10", False),
        ("11.0.0.35", True),
        ("11.4.0.106", True),
        ("11.4.1.2", False),
        ("12.0.0", False),
    ],
)
def test_pips_tensorrt_that_knows_no_jetpack_is_named(
    version: str, is_refused: bool, jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=version))
    expected = [f"TensorRT {version} is pip's, and 11.0 to 11.4.0 do not support JetPack: pip "]
    assert [advice[: len(expected[0])] for advice in advice_of()] == expected * is_refused
    # The same where it is installed and does not load, as is likely.
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr(doctor_advice, "_version", {"tensorrt": version}.get)
    assert advice_of()[0].startswith(expected[0]) == is_refused


def test_missing_cudnn_is_named_where_it_would_be_used(
    system: Path, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert advice_of() == []
    onnxruntime = with_cuda(system, [89])
    expected = (
        "onnxruntime-gpu finds no cuDNN, which convolutions need: pip install "
        "'onnxruntime-gpu[cuda,cudnn]'"
    )
    assert advice_of(onnxruntime) == [expected]
    monkeypatch.setattr(doctor_gpu, "_cudnn_version", lambda: "9.20.0")
    assert advice_of(onnxruntime) == []


@pytest.mark.parametrize(("free_kb", "is_little"), [(3_900_000, True), (3_910_000, False)])
def test_little_memory_is_named_where_engines_would_be_built(
    free_kb: int, is_little: bool, system: Path, driver: FakeDriver
) -> None:
    memory = f"MemTotal:  7800000 kB\nMemAvailable:  {free_kb} kB\nSwapFree:  0 kB\n"
    (system / "meminfo").write_text(memory)
    assert [advice.split(":")[0] for advice in advice_of()] == [
        "3994 MB of memory and swap are free, and building TensorRT engines may take 4000"
    ] * is_little
    driver.set(devices=0)
    assert not any("memory" in advice for advice in advice_of())


def test_graphics_card_tells_its_power_and_clock(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {
        "--query-gpu=power.limit": "450.00 W",
        "--query-gpu=clocks.sm,clocks.max.sm": "210, 3105",
    }
    monkeypatch.setattr(nvidia_system, "_say", lambda _, query, *rest: said.get(query, ""))
    assert nvidia_system.power_mode() == "450.00 W"
    assert nvidia_system.clocks_mhz() == (210.0, 3105.0)
