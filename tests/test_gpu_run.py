"""The prepared run on a borrowed GPU: what travels arrives, what fails stops nothing else."""

import io
import re
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.gpu_peers import TorchLoop
from bench.gpu_run import pack
from bench.gpu_run.pack import MAGIC, cut, prune
from bench.gpu_run.stage import Stage, receive
from echoes_rt.decode import reference
from echoes_rt.decode.plan import make_plan
from echoes_rt.decode.steps import decode_at_once
from echoes_rt.format.sampling import Sampling


def test_what_travels_in_several_calls_arrives_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(50_000)
    archive, home = tmp_path / "archive.tar", tmp_path / "home"
    with tarfile.open(archive, "w") as tar:
        for name, data in {"source/text": b"text", "wheels/noise": noise, "data/end": b"e"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    folders = [*cut(archive, tmp_path / "out", [30_000, 25_000])]
    assert [folder.name for folder in folders] == ["1", "2", "3"]
    for folder, most in zip(folders, (30_000, 25_000, 25_000), strict=True):
        assert sum(path.stat().st_size for path in folder.iterdir()) <= most
    # Whatever came first: nothing is unpacked that is not whole.
    assert receive(folders[1], home) == "0 files, more is to come"
    assert receive(folders[0], home) == "1 files, more is to come"
    assert (home / "source/text").read_bytes() == b"text"
    assert not (home / "wheels").exists()
    assert receive(folders[2], home) == "3 files"
    assert (home / "wheels/noise").read_bytes() == noise
    assert (home / "data/end").read_bytes() == b"e"


def test_what_the_stages_need_travels_or_is_there() -> None:
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    project = tomllib.loads((pack.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["training"], *extras["teacher"], *extras["export"]]
    needed = {re.split(r"[\[>]", line)[0] for line in lines} - {"echoes-rt"}
    there = {"accelerate", "matplotlib", "numpy", "onnx", "onnxscript", "opencv-python-headless"}
    assert needed - there - {"tensorboard", "torch"} <= set(pack.WHEELS)


def entry(sm: int, code: bytes) -> bytes:
    header = struct.pack("<HHIQ", 2, 0, 64, len(code)) + bytes(12) + struct.pack("<I", sm)
    return header.ljust(64, b"\0") + code


def container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return MAGIC + struct.pack("<HQ", 16, len(body)) + body


def test_only_one_architecture_is_left_and_nothing_moves(tmp_path: Path) -> None:
    wanted = entry(90, b"hopper" * 20)
    first = container(entry(80, b"ampere" * 30), wanted, entry(100, b"blackwell" * 10))
    foreign = container(entry(80, b"alone" * 8))
    library = tmp_path / "a.so"
    whole = b"begin" + first + b"middle" + foreign + b"end"
    library.write_bytes(whole)
    assert prune(library, 90) == len(wanted)
    data = library.read_bytes()
    assert len(data) == len(whole)
    assert wanted in data
    assert b"ampere" not in data
    assert b"blackwell" not in data
    assert data.endswith(b"middle" + foreign + b"end")
    (size,) = struct.unpack_from("<Q", data, 5 + 8)
    assert data[5 + 16 : 5 + 16 + size] == wanted


def test_a_command_that_fails_or_hangs_stops_no_other(tmp_path: Path) -> None:
    stage = Stage("1", 60, tmp_path)
    python = (sys.executable, "-c")
    stage.run("good", 30, *python, "print('first'); print('last')")
    stage.run("bad", 30, *python, "raise SystemExit(3)")
    stage.run("slow", 0.5, *python, "import time; time.sleep(60)")
    stage.run("absent", 30, tmp_path / "nothing")
    stage.end = 0.0
    stage.run("late", 30, *python, "")
    lines = (tmp_path / "out/summary.txt").read_text("utf-8").splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "1 done good",
        "1 FAILED(3) bad",
        "1 TIMEOUT slow",
        "1 FAILED(No such file or directory) absent",
        "1 SKIPPED late",
    ]
    assert lines[0].endswith("; last")
    assert stage.failed == ["bad", "slow", "absent"]


def test_a_stage_begins_with_nothing_but_python(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-E", str(pack.STAGE), "-h"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_loop_in_torch_is_the_reference(temperature: float) -> None:
    rng = np.random.default_rng(0)
    members, n_tokens, size = 3, 10, 7
    table = rng.standard_normal((2, size + 1, n_tokens, size)).astype(np.float32)

    def scores(tokens: np.ndarray, sees: bool) -> np.ndarray:
        own = table[int(sees)][tokens, np.arange(n_tokens)]
        return np.asarray(own + own.mean(axis=1, keepdims=True))

    class Network(torch.nn.Module):
        def forward(self, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
            rows = tokens.numpy()
            n_seen = len(context)
            parts = [scores(rows[:n_seen], True), scores(rows[n_seen:], False)]
            return torch.from_numpy(np.concatenate(parts))

    tokens = np.full((members, n_tokens), size, np.int32)
    tokens[0, :4] = 2  # fewer to draw than the others have
    sampling = Sampling(
        steps=4, temperature=temperature, guidance_scale=3.0, guidance_interval=(0.0, 0.6)
    )
    plan = make_plan(tokens == size, range(n_tokens), sampling)
    noise = rng.uniform(0.01, 0.99, (members, n_tokens)).astype(np.float32)
    loop, context = TorchLoop(Network(), "cpu"), np.zeros((members, 1), np.float32)
    found = decode_at_once(loop, tokens, context, plan, noise)
    expected = reference.decode(scores, tokens, plan, noise, has_context=True)
    assert np.array_equal(found, expected)
