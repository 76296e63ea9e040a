"""What is built: its symbols, its size, its headers, its package, its own tests, its examples."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from native import SOURCE, run, tool
from tests.pages import DOCS, blocks

from echoes_rt import Echoes, errors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="not tried on Windows")

CONSUMER = """
cmake_minimum_required(VERSION 3.21)
project(consumer LANGUAGES C)
find_package(echoes_rt 0.1 REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE echoes_rt::echoes_rt)
"""

PROGRAM = """
#include <echoes_rt/echoes_rt.h>
#include <stdio.h>
int main(void) { return puts(echoes_version()) < 0; }
"""


def needs(program: str) -> str:
    found = tool(program)
    if found is None:
        pytest.skip(f"NOT TESTED: there is no {program}")
    return found


def test_its_own_tests_pass(build: Path) -> None:
    said = run(needs("ctest"), "--test-dir", build, "--output-on-failure")
    assert re.search(r"100% tests passed.* out of 4\n", said)  # CMake 4 says it shorter
    assert "Skipped" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="nm -D is of Linux")
def test_only_its_own_names_are_exported(library: Path) -> None:
    lines = run(needs("nm"), "-D", "--defined-only", library).splitlines()
    names = {line.split()[-1] for line in lines}
    header = (SOURCE / "include" / "echoes_rt" / "echoes_rt.h").read_text("utf-8")
    assert len(names) == header.count("ECHOES_API ") - header.count("#define ECHOES_API ")
    assert all(name.startswith("echoes_") for name in names)


def test_it_is_small(library: Path, tmp_path: Path) -> None:
    run(needs("strip"), "-o", tmp_path / "stripped", library)
    assert (tmp_path / "stripped").stat().st_size < 500_000


@pytest.mark.skipif(sys.platform != "linux", reason="readelf is of Linux")
def test_no_onnx_runtime_is_linked(library: Path) -> None:
    needed = run(needs("readelf"), "-d", library)
    assert "NEEDED" in needed
    assert "onnxruntime" not in needed


@pytest.mark.parametrize(
    ("kind", "standard", "given"),
    [
        ("c", "-std=c99", "const unsigned char *pixels, int width, int height"),
        ("cpp", "-std=c++17", "const echoes_rt::Picture &picture"),
    ],
)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_code_of_the_page_and_the_headers_are_pedantic(
    kind: str, standard: str, given: str, compiler: str, tmp_path: Path
) -> None:
    (block,) = blocks(DOCS / "embed.md", kind=kind)
    include, code = block.text.split("\n", 1)
    before = f"{include}\n#include <stdlib.h>\nint fail(const char *why);\n"
    source = tmp_path / f"page.{kind}"
    source.write_text(f"{before}int page({given}) {{\n{code}\n(void)samples;\nreturn 0;\n}}\n")
    flags = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-missing-field-initializers")
    run(needs(compiler), standard, *flags, "-fsyntax-only", f"-I{SOURCE}/include", source)


def test_statuses_are_the_errors_of_python() -> None:
    header = (SOURCE / "include" / "echoes_rt" / "echoes_rt.h").read_text("utf-8")
    names = {
        line.split()[0].removeprefix("ECHOES_ERROR_")
        for line in header.splitlines()
        if line.startswith("  ECHOES_ERROR_")
    }
    direct = {error.__name__ for error in errors.EchoesError.__subclasses__()}
    assert {f"{name.title()}Error" for name in names - {"INTERNAL"}} == direct


def test_version_is_the_projects(library: Path) -> None:
    lib = ctypes.CDLL(str(library))
    lib.echoes_version.restype = ctypes.c_char_p
    project = (SOURCE.parent / "pyproject.toml").read_text("utf-8")
    assert f'version = "{lib.echoes_version().decode()}"' in project


@pytest.fixture(scope="module")
def installed(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    run(needs("cmake"), "--install", build, "--prefix", prefix)
    return prefix


def test_cmake_finds_what_is_installed(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(CONSUMER)
    (tmp_path / "consumer.c").write_text(PROGRAM)
    build = tmp_path / "build"
    ninja = f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"
    run(
        needs("cmake"),
        *("-S", tmp_path, "-B", build, "-G", "Ninja", ninja, f"-DCMAKE_PREFIX_PATH={installed}"),
    )
    run(needs("cmake"), "--build", build)
    assert run(build / "consumer").strip().count(".") == 2


def test_pkg_config_finds_what_is_installed(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "consumer.c").write_text(PROGRAM)
    (folder,) = installed.rglob("pkgconfig")
    said = run(
        needs("pkg-config"),
        *("--cflags", "--libs", "echoes_rt"),
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
    )
    program = tmp_path / "consumer"
    run(needs("cc"), tmp_path / "consumer.c", "-o", program, *said.split())
    where = {**os.environ, "LD_LIBRARY_PATH": str(folder.parent)}
    assert run(program, env=where).strip().count(".") == 2


def test_pkg_config_finds_the_prefix_from_debians_deeper_libdir(tmp_path: Path) -> None:
    libdir, includedir = "lib/x86_64-linux-gnu", "include/of/it"
    run(
        needs("cmake"),
        *("-S", SOURCE, "-B", tmp_path / "build", "-G", "Ninja"),
        *(f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", "-DECHOES_BUILD_TESTS=OFF"),
        *(f"-DCMAKE_INSTALL_LIBDIR={libdir}", f"-DCMAKE_INSTALL_INCLUDEDIR={includedir}"),
    )
    folder = tmp_path / libdir / "pkgconfig"
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "build" / "echoes_rt.pc", folder)
    (tmp_path / includedir).mkdir(parents=True)
    env = {**os.environ, "PKG_CONFIG_PATH": str(folder)}
    for name, expected in (("prefix", ""), ("libdir", libdir), ("includedir", includedir)):
        said = run(needs("pkg-config"), f"--variable={name}", "echoes_rt", env=env)
        assert Path(said.strip()).resolve() == (tmp_path / expected).resolve()


@pytest.mark.parametrize("example", ["generate", "generate_cpp"])
def test_example_makes_the_sound_that_python_makes(
    example: str, build: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    picture, sound = tmp_path / "picture.ppm", tmp_path / "sound.wav"
    picture.write_bytes(b"P6\n70 50\n255\n" + rgb.tobytes())
    run(build / "examples" / example, tiny_bundle, picture, sound, "7")
    samples, rate = soundfile.read(sound, dtype="float32")
    expected = Echoes.load(tiny_bundle, device="cpu").image_to_audio(rgb, seed=7)
    assert rate == expected.sample_rate
    assert np.abs(samples - expected.samples).max() < 1e-4


@pytest.mark.parametrize("example", ["generate", "generate_cpp"])
def test_example_says_what_is_wrong(example: str, build: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.ppm"
    picture.write_bytes(b"P6\n1 1\n255\nabc")
    command = [build / "examples" / example, tmp_path, picture, tmp_path / "sound.wav"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"{example}: {tmp_path} is not a bundle: it has no manifest.json"
    ]


def test_onnxruntime_sends_nothing(
    library: Path, bundle: Path, onnxruntime_folder: Path, tmp_path: Path
) -> None:
    """Its telemetry would leave a device id in the home directory."""
    program = """
import os, sys
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
sys.path.insert(0, sys.argv[3])
from native import Native
Native(sys.argv[1], sys.argv[2], device=b"cpu", threads=1).close()
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    env = {**os.environ, **home, "ECHOES_RT_ORT": str(onnxruntime_folder)}
    run(sys.executable, "-c", program, library, bundle, Path(__file__).parent, env=env)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
