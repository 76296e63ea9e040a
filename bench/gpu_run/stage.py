"""``python stage.py STAGE SECONDS PIECES HOME``: one stage of the run, in that many seconds.

It needs nothing but Python, for it runs before anything is installed. PIECES is the folder that
came with this call, or - for none; HOME keeps everything from one stage to the next. Each command
has a limit of its own, and is left out where too little time is left. HOME/out gets a summary, the
results and all logs.
"""

import argparse
import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

LEAST_S = 12
"""With less than that left no command is begun."""


class Stage:
    """Runs commands within a limit and writes a line about each."""

    def __init__(self, name: str, limit_s: float, home: Path, patience: float = 1.0) -> None:
        self.end = time.monotonic() + limit_s
        self.patience = patience
        self.name = name
        self.home = home
        self.out = home / "out"
        self.logs = self.out / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.failed: list[str] = []

    @property
    def source(self) -> Path:
        travelled = self.home / "source"
        return travelled if travelled.is_dir() else Path(__file__).resolve().parents[2]

    def run(self, name: str, most_s: float, *command: str | Path) -> None:
        """Its output goes to logs/NAME.log."""
        left = self.end - time.monotonic()
        if left < LEAST_S:
            self.say(f"SKIPPED {name}: {left:.0f} s left")
            return
        start = time.monotonic()
        log = self.logs / f"{name}.log"
        with log.open("wb") as file:
            try:
                done = subprocess.run(
                    [*map(str, command)],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    cwd=self.source,
                    env={**os.environ, **self._environment()},
                    check=False,
                    timeout=min(most_s * self.patience, left - 5),
                )
                ended = "done" if done.returncode == 0 else f"FAILED({done.returncode})"
            except subprocess.TimeoutExpired:
                ended = "TIMEOUT"
            except OSError as error:
                ended = f"FAILED({error.strerror})"
        if ended != "done":
            self.failed.append(name)
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = lines[-1][:200] if lines else ""
        self.say(f"{ended} {name}: {time.monotonic() - start:.0f} s; {said}")

    def module(self, name: str, most_s: float, module: str, *arguments: str | Path) -> None:
        self.run(name, most_s, sys.executable, "-m", module, *arguments)

    def say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        with (self.out / "summary.txt").open("a", encoding="utf-8") as file:
            file.write(f"{self.name} {line}\n")

    def _environment(self) -> dict[str, str]:
        """Ours before the machine's own, and where PyTorch's wheels keep cuBLAS and cuDNN."""
        folders = (self.source / part for part in ("runtime", "training", "export", "."))
        paths = [str(path) for path in (self.home / "site", *folders)]
        found = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        try:
            import nvidia  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            return found
        files = Path(next(iter(nvidia.__path__))).rglob("lib*.so*")
        libraries = [*sorted({str(path.parent) for path in files})]
        before = os.environ.get("LD_LIBRARY_PATH", "")
        return found | {"LD_LIBRARY_PATH": os.pathsep.join([*libraries, before])}


def receive(pieces: Path, home: Path) -> str:
    """Keeps the part of the archive that came with this call, and unpacks all that is whole."""
    parts, archive = home / "parts", home / "archive.tar"
    parts.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(pieces / "part", parts / pieces.name)
    with archive.open("wb") as whole:
        for number in itertools.count(1):
            if not (parts / str(number)).is_file():
                break
            whole.write((parts / str(number)).read_bytes())
    size, count = archive.stat().st_size, 0
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.offset_data + member.size <= size:
                    tar.extract(member, home, filter="data")
                    count += 1
    except tarfile.ReadError:
        return f"{count} files, more is to come"
    return f"{count} files"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["1", "2", "3"])
    parser.add_argument("seconds", type=float)
    parser.add_argument("pieces")
    parser.add_argument("home", type=Path)
    parser.add_argument("--preset", default="mini", help="Of the trainings of codecs and vocoder.")
    parser.add_argument("--large", default="base", help="Of the untrained bundle, and transformer.")
    parser.add_argument("--steps", type=int, default=60, help="Of each short training.")
    parser.add_argument("--patience", type=float, default=1.0, help="Times each command's limit.")
    parser.add_argument("--train", help="Stage 3: a command for the time that is left.")
    given = parser.parse_args()
    stage = Stage(given.stage, given.seconds, given.home.resolve(), given.patience)
    if given.pieces != "-":
        stage.say(f"unpacked {receive(Path(given.pieces).resolve(), stage.home)}")
        shutil.copyfile(__file__, stage.home / "stage.py")
        wheels = sorted((stage.home / "wheels").glob("*.whl"))
        if wheels:
            options = ["install", "-q", "--no-index", "--no-deps", "--upgrade", "--target"]
            stage.module("install", 60, "pip", *options, stage.home / "site", *wheels)
    {"1": _first, "2": _second, "3": _third}[given.stage](stage, given)
    shutil.make_archive(str(stage.home / f"out-{given.stage}"), "gztar", stage.out)
    stage.say(f"{len(stage.failed)} failed{''.join(f' {name}' for name in stage.failed)}")
    return 1 if stage.failed else 0


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _bundles(stage: Stage) -> dict[str, Path]:
    mini = stage.source / "runtime/echoes_rt/bundles/echoes-mini"
    halves = {name: stage.home / name for name in ("mini-half", "large-half")}
    return {"mini": mini, "large": stage.home / "large", **halves}


def _first(stage: Stage, given: argparse.Namespace) -> None:
    """What the machine is, and the bundles of stage 2."""
    if _has_driver():
        stage.run("nvidia-smi", 30, "nvidia-smi", "-q")
    stage.module("packages", 30, "pip", "list")
    stage.module("doctor", 40, "echoes_rt", "doctor")
    bundles = _bundles(stage)
    if not bundles["large"].exists():
        options = ["--random", given.large, "--verify-on", "1", "--out", bundles["large"]]
        stage.module("bundle", 240, "echoes_export.cli", "bundle", *options)
    for name in ("mini", "large"):
        half = bundles[f"{name}-half"]
        if not half.exists() and bundles[name].is_dir():
            shutil.copytree(bundles[name], half)
            stage.module(f"half {name}", 120, "echoes_export.cli", "half", half, "--pictures", "1")


def _second(stage: Stage, given: argparse.Namespace) -> None:
    """Equal tokens and times, against PyTorch with the same weights."""
    for name, bundle in _bundles(stage).items():
        if _has_driver():
            options = ["--no-build", "--seconds", "5", "--runs", "10", "--out"]
            check = ("--bundle", bundle, *options, stage.out / f"gpu-check-{name}")
            stage.module(f"gpu-check {name}", 150, "echoes_rt.nvidia.gpu_check", *check)
        else:
            stage.say(f"SKIPPED gpu-check {name}: no NVIDIA driver")
    device, batches = ("cuda", ("8", "32")) if _has_driver() else ("cpu", ("2",))
    for batch in batches:
        asked = ("--device", device, "--batch", batch, "--runs", "1" if device == "cpu" else "10")
        mini = _bundles(stage)["mini"]
        stage.module(f"peers mini batch {batch}", 110, "bench.gpu_peers", mini, *asked)


def _third(stage: Stage, given: argparse.Namespace) -> None:
    """Trainings on the media in HOME/data: some steps of each, as usual and in a faster way."""
    index = stage.home / "data/index.jsonl"
    if not index.is_file():
        stage.say(f"SKIPPED training: no {index}")
        return
    tokens = stage.home / "tokens.safetensors"
    views = (f"--{kind}-views=1" for kind in ("image", "audio", "unpaired"))
    made = ("--index", index, "--codecs", stage.home / "large", "--out", tokens, *views)
    stage.module("tokenize", 60, "echoes_training.cli", "tokenize", *made)
    every = f"loop.log_every={max(1, given.steps // 3)}"
    lengths = (f"loop.steps={given.steps}", every, f"loop.evaluate_every={given.steps}")
    media = ("--index", index, "--preset", given.preset)
    codes = ("--tokens", tokens, "--preset", given.large)
    for kind, source, faster in (
        ("mel-codec", media, "data.resident"),
        ("vocoder", media, "data.resident"),
        ("image-codec", media, "data.resident"),
        ("transformer", codes, "compiled"),
    ):
        for value in ("False", "True") if faster != "compiled" or _has_driver() else ("False",):
            name = f"train {kind} {faster}={value}"
            options = [*source, "--out", stage.home / "runs" / name.replace(" ", "-")]
            for setting in (f"{faster}={value}", *lengths):
                options += ["--set", setting]
            most_s = 150 if kind == "transformer" else 60  # compiling takes a minute and more
            stage.module(name, most_s, "echoes_training.cli", kind, *options)
    if given.train:
        stage.run("train", 3600, "bash", "-c", given.train)


if __name__ == "__main__":
    sys.exit(main())
