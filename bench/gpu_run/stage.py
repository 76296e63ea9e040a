"""``python stage.py STAGE SECONDS PIECES HOME``: one stage of the run, in that many seconds.

It needs nothing but Python, for it runs before anything is installed. PIECES is the folder that
came with this call, or - for none; HOME keeps everything from one stage to the next. Each command
has a limit of its own, and is left out where too little time is left. HOME/out gets a summary, the
results and all logs.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEAST_S = 12
"""With less than that left no command is begun."""


class Stage:
    """Runs commands within a limit and writes a line about each."""

    def __init__(self, name: str, limit_s: float, home: Path, patience: float = 1.0) -> None:
        self.end = time.monotonic() + limit_s
        self.patience = patience
        self.name = name
        self.out = home / "out"
        self.logs = self.out / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.failed: list[str] = []

    def run(
        self, name: str, most_s: float, command: list[str], env: Mapping[str, str], where: Path
    ) -> bool:
        """Whether it ended with status 0; its output is in logs/NAME.log."""
        left = self.end - time.monotonic()
        if left < LEAST_S:
            self.say(f"SKIPPED {name}: {left:.0f} s left")
            return False
        start = time.monotonic()
        log = self.logs / f"{name}.log"
        with log.open("wb") as file:
            try:
                done = subprocess.run(
                    command,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    cwd=where,
                    env={**os.environ, **env},
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
        return ended == "done"

    def say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        with (self.out / "summary.txt").open("a", encoding="utf-8") as file:
            file.write(f"{self.name} {line}\n")


def environment(home: Path, source: Path) -> dict[str, str]:
    """Ours before the machine's own; ONNX Runtime looks for NVIDIA's libraries beside itself."""
    paths = [
        home / "ort",
        home / "site",
        *(source / part for part in ("runtime", "training", "export", ".")),
    ]
    return {"PYTHONPATH": os.pathsep.join(str(path) for path in paths), "PYTHONUNBUFFERED": "1"}


def _nvidia(home: Path) -> dict[str, str]:
    """Where PyTorch's wheels keep cuBLAS and cuDNN, for ONNX Runtime."""
    try:
        import nvidia  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return {}
    folder = Path(next(iter(nvidia.__path__)))
    link = home / "ort/nvidia"
    if link.parent.is_dir() and not link.exists():
        link.symlink_to(folder)
    libraries = sorted({str(path.parent) for path in folder.rglob("lib*.so*")})
    before = os.environ.get("LD_LIBRARY_PATH", "")
    return {"LD_LIBRARY_PATH": os.pathsep.join([*libraries, before])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["1", "2", "3"])
    parser.add_argument("seconds", type=float)
    parser.add_argument("pieces")
    parser.add_argument("home", type=Path)
    parser.add_argument("--preset", default="mini", help="Of the trainings.")
    parser.add_argument("--large", default="base", help="Of the untrained bundle that is measured.")
    parser.add_argument("--steps", type=int, default=60, help="Of each short training.")
    parser.add_argument("--patience", type=float, default=1.0, help="Times each command's limit.")
    parser.add_argument("--train", help="Stage 3: a command for the time that is left.")
    given = parser.parse_args()
    home: Path = given.home.resolve()
    stage = Stage(given.stage, given.seconds, home, given.patience)
    if given.pieces != "-":
        script = (
            "import sys, pathlib, pieces\n"
            "print('; '.join(pieces.collected(*map(pathlib.Path, sys.argv[1:]))))"
        )
        stage.run(
            "unpack",
            90,
            [sys.executable, "-c", script, given.pieces, str(home)],
            {"PYTHONPATH": str(HERE)},
            home,
        )
        _install(stage, home)
    source = home / "source" if (home / "source").is_dir() else HERE.parents[1]
    env = environment(home, source) | _nvidia(home)
    steps = {"1": _first, "2": _second, "3": _third}
    steps[given.stage](stage, home, source, env, given)
    shutil.make_archive(str(home / f"out-{given.stage}"), "gztar", home / "out")
    stage.say(f"{len(stage.failed)} failed{''.join(f' {name}' for name in stage.failed)}")
    return 1 if stage.failed else 0


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _module(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", name, *map(str, arguments)]


def _install(stage: Stage, home: Path) -> None:
    """The wheels that have come so far."""
    wheels = sorted((home / "parts").glob("*.whl"))
    if wheels:
        options = ["install", "-q", "--no-index", "--no-deps", "--upgrade", "--target"]
        stage.run("install", 60, _module("pip", *options, home / "site", *wheels), {}, home)


def _first(
    stage: Stage, home: Path, source: Path, env: dict[str, str], given: argparse.Namespace
) -> None:
    """What the machine is, how fast it trains, and the bundles of stage 2."""
    stage.run("machine", 30, _module("bench.machine"), env, home)
    sizes = ("--preset", given.preset, "--large", given.large)
    command = _module("bench.gpu_run.speed", home / "out/speed.json", *sizes)
    stage.run("speed", 150, command, env, home)
    bundle = home / "large"
    if not bundle.exists():
        options = ["bundle", "--random", given.large, "--verify-on", "1", "--out"]
        command = _module("echoes_export.cli", *options, bundle)
        stage.run("bundle", 240, command, env, home)
    halves = {"mini-half": source / "runtime/echoes_rt/bundles/echoes-mini", "large-half": bundle}
    for name, whole in halves.items():
        if not (home / name).exists() and whole.is_dir():
            shutil.copytree(whole, home / name)
            command = _module("echoes_export.cli", "half", home / name, "--pictures", "1")
            stage.run(f"half {name}", 120, command, env, home)


def _second(
    stage: Stage, home: Path, source: Path, env: dict[str, str], given: argparse.Namespace
) -> None:
    """Equal tokens and times, against PyTorch with the same weights; then ``make gpu-check``."""
    stage.run("doctor", 40, _module("echoes_rt", "doctor"), env, home)
    mini = source / "runtime/echoes_rt/bundles/echoes-mini"

    def decode(name: str, most_s: float, bundle: Path, *options: str) -> None:
        out = home / "out" / f"{name}.json"
        command = _module("bench.gpu_run.decode", bundle, out, *options)
        stage.run(f"decode {name}", most_s, command, env, home)

    decode("mini", 110, mini, "--batches", "1,8,32")
    decode("large", 110, home / "large", "--batches", "1")
    decode("mini-half", 110, home / "mini-half", "--batches", "1,8,32")
    decode("large-half", 110, home / "large-half", "--batches", "1")
    if _has_driver():
        options = ["--no-build", "--seconds", "5", "--runs", "10", "--out"]
        check = _module("echoes_rt.nvidia.gpu_check", *options, home / "out/gpu-check")
        stage.run("gpu-check", 150, check, env, source)
    else:
        stage.say("SKIPPED gpu-check: no NVIDIA driver")
    decode("mini-compiled", 120, mini, "--batches", "1", "--compile")


def _third(
    stage: Stage, home: Path, source: Path, env: dict[str, str], given: argparse.Namespace
) -> None:
    """Trainings on the media in HOME/data: some steps of each, as usual and with resident media."""
    data = home / "data"
    if not (data / "index.jsonl").is_file():
        stage.say(f"SKIPPED training: no {data / 'index.jsonl'}")
        return
    every = f"loop.log_every={max(1, given.steps // 3)}"
    lengths = (f"loop.steps={given.steps}", every, f"loop.evaluate_every={given.steps}")
    for kind in ("mel-codec", "vocoder", "image-codec"):
        for resident in ("False", "True"):
            name = f"train {kind} resident={resident}"
            run = home / "runs" / name.replace(" ", "-")
            options = ["--index", data / "index.jsonl", "--out", run, "--preset", given.preset]
            for setting in (f"data.resident={resident}", *lengths):
                options += ["--set", setting]
            stage.run(name, 60, _module("echoes_training.cli", kind, *options), env, home)
    if given.train:
        stage.run("train", given.seconds, ["bash", "-c", given.train], env, data)


if __name__ == "__main__":
    sys.exit(main())
