"""The library on another processor."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from native import SOURCE, run, tool

CROSS_TOOLS = ("cmake", "ninja", "aarch64-linux-gnu-g++", "qemu-aarch64")


@pytest.fixture(scope="module")
def emulated() -> Path:
    """The folder of the library for aarch64."""
    missing = [name for name in CROSS_TOOLS if tool(name) is None]
    if missing:
        pytest.skip(f"AARCH64 IS NOT TESTED: there is no {', '.join(missing)}")
    if "ECHOES_RT_ORT_AARCH64" not in os.environ:
        pytest.skip("AARCH64 IS NOT TESTED: ECHOES_RT_ORT_AARCH64 names no ONNX Runtime for it")
    run(str(tool("cmake")), "--preset", "aarch64", cwd=SOURCE)
    run(str(tool("cmake")), "--build", "--preset", "aarch64", cwd=SOURCE)
    return SOURCE / "build" / "aarch64"


@pytest.mark.slow
def test_aarch64_gives_the_same_sound(
    emulated: Path, tiny_bundle: Path, build: Path, tmp_path: Path
) -> None:
    runtime = {**os.environ, "ECHOES_RT_ORT": os.environ["ECHOES_RT_ORT_AARCH64"]}
    said = run(str(tool("ctest")), "--preset", "aarch64", cwd=SOURCE, env=runtime)
    assert "100% tests passed" in said
    assert "Skipped" not in said
    sysroot = emulated / "qemu-sysroot"
    qemu = [str(shutil.which("qemu-aarch64")), "-cpu", "cortex-a76", "-L", str(sysroot)]
    rgb = np.random.default_rng(3).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    sounds = []
    picture = tmp_path / "picture.ppm"
    picture.write_bytes(b"P6\n70 50\n255\n" + rgb.tobytes())
    for folder, emulator, env in ((build, [], None), (emulated, qemu, runtime)):
        sound = tmp_path / f"sound{len(sounds)}.wav"
        run(*emulator, folder / "examples" / "generate", tiny_bundle, picture, sound, "7", env=env)
        sounds.append(np.frombuffer(sound.read_bytes()[44:], dtype="<i2").astype(int))
    assert np.abs(sounds[0] - sounds[1]).max() <= 4  # of 32768: within 1e-4
