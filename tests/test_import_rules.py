"""The arrows between the packages, and what the runtime may load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "onnx", "onnxruntime", "tensorrt", "echoes_training", "echoes_export"}
SPEC_MAY_LOAD = {"numpy", "echoes_rt"}


def loaded_by(code: str) -> set[str]:
    code += "\nimport sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import echoes_rt; assert 'Echoes' in dir(echoes_rt)", {*HEAVY, "numpy"}),
        ("import echoes_rt.cli", {*HEAVY, "numpy", "cv2", "PIL", "soundfile"}),
        ("from echoes_rt import Echoes, Sound", HEAVY),
        ("import echoes_rt.format.manifest", HEAVY),
    ],
)
def test_runtime_stays_light(code: str, unwanted: set[str]) -> None:
    assert not unwanted & loaded_by(code)


def test_spec_loads_numpy_alone() -> None:
    names = [path.stem for path in (ROOT / "runtime/echoes_rt/format").glob("[a-z]*.py")]
    bare = loaded_by("import numpy")
    code = "\n".join(f"import echoes_rt.format.{name}" for name in names)
    third_party = loaded_by(code) - bare - set(sys.stdlib_module_names)
    assert third_party <= SPEC_MAY_LOAD


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


# Bundles are opened, pictures and videos read, and steps planned as users' are.
READERS = {
    "bundles.py": "echoes_rt.bundle",
    "image.py": "echoes_rt.io.image",
    "checking.py": "echoes_rt.io.image",
    "command.py": "echoes_rt.io.av_file",
    "decode.py": "echoes_rt.io",
    "pairs.py": "echoes_rt.io",
    "sample.py": "echoes_rt.io.image",
    "rollouts.py": "echoes_rt.decode.plan",
}


@pytest.mark.parametrize("path", python_files("training"), ids=lambda path: path.name)
def test_training_sees_only_the_spec_and_readers(path: Path) -> None:
    """What measures may use all of the runtime."""
    is_free = path.parent.name in ("evaluate", "av_metrics")
    reader = READERS.get(path.name, "echoes_rt.format")
    told = ("echoes_rt.errors", "echoes_rt.install", "echoes_rt.io.output_file")
    allowed = ("echoes_rt",) if is_free else ("echoes_rt.format", *told, reader)
    for name in imports(path):
        assert not name.startswith("echoes_export")
        assert not name.startswith("echoes_rt") or name.startswith(allowed)


@pytest.mark.parametrize("path", python_files("runtime"), ids=lambda path: path.name)
def test_runtime_sees_neither_training_nor_export(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] not in {"torch", "onnx", "echoes_training", "echoes_export"}
