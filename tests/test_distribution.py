"""Wheel and sdist have what they need and work where they are installed; so does hashes.txt."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packaging.version import Version
from tests.versions import oldest_versions, versions

ROOT = Path(__file__).parents[1]
NAME_AND_VERSION = re.compile(r"^([\w-]+)==([\w.]+)", re.M)
FILES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt")

USE = """
from echoes_rt import __file__, bundle, demo_server
print(__file__)
server = demo_server.DemoServer(bundle.find_bundle(None), "127.0.0.1", 0)
server.server_close()
"""


def build(project: Path, out: Path, target: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return next(out.glob("*.whl" if target == "wheel" else "*.tar.gz"))


def use_installed(wheel: Path, folder: Path) -> None:
    """Opens the default bundle and the page from a folder that has nothing but the wheel."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True)
    env = os.environ | {"PYTHONPATH": str(folder)}
    env.pop("ECHOES_RT_BUNDLE", None)
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(folder)


@pytest.mark.slow
def test_wheel_and_sdist_hold_the_page_and_the_model(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    project = tmp_path / "project"
    project.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, project)
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", "checkpoints")
    for name in ("runtime", "training", "export"):
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    shutil.copy(ROOT / ".gitignore", project)
    page = project / "runtime/echoes_rt/web"
    page.mkdir(exist_ok=True)
    (page / "index.html").write_text("<!doctype html>", encoding="utf-8")  # as make web builds
    use_installed(build(project, tmp_path / "wheel", "wheel"), tmp_path / "from_wheel")
    sdist = build(project, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    use_installed(build(unpacked, tmp_path / "wheel2", "wheel"), tmp_path / "from_sdist")


def test_a_tag_must_be_the_version_everywhere() -> None:
    def said_of(tag: str) -> tuple[int, list[str]]:
        command = [sys.executable, "tests/versions.py", "tag", tag]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        return done.returncode, done.stderr.splitlines()

    assert said_of(f"v{versions()['pyproject.toml']}") == (0, [])
    status, lines = said_of("v99.0.0")
    assert (status, len(lines)) == (1, len(versions()))


def versions_in(name: str) -> dict[str, str]:
    return dict(NAME_AND_VERSION.findall((ROOT / name).read_text("utf-8")))


def test_hashes_are_of_the_versions_of_the_constraints() -> None:
    hashed, tested = versions_in("hashes.txt"), versions_in("constraints.txt")
    both = hashed.keys() & tested.keys()
    assert {name: hashed[name] for name in both} == {name: tested[name] for name in both}


def test_nothing_that_the_runtime_needs_is_without_a_hash() -> None:
    hashed = versions_in("hashes.txt")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    lists = re.findall(r"^(?:dependencies|cpu|video) = (\[.*?\])\n", project, re.M | re.S)
    assert len(lists) == 3
    assert {*re.findall(r'"([\w-]+)', "".join(lists))} <= hashed.keys()


@pytest.mark.parametrize(
    ("name", "with_holes"),
    [
        ("opencv-python-headless", "4.13.0.92"),
        ("soundfile", "0.13.0"),
        ("pi-heif", "1.3.0"),
        ("onnxruntime", "1.23.2" if sys.version_info >= (3, 11) else "1.22.1"),
    ],
)
def test_versions_with_known_holes_are_not_admitted(name: str, with_holes: str) -> None:
    oldest = dict(line.split("==") for line in oldest_versions())
    assert Version(oldest[name]) > Version(with_holes)


def included() -> set[str]:
    """First parts of the paths; the build adds pyproject.toml, the readme and the licence."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^\[tool\.hatch\.build\.targets\.sdist\]\ninclude = (\[.*?\])", text, re.M)
    assert found
    return {path.strip("/") for path in json.loads(found[1])} | {"pyproject.toml"}


def test_every_file_that_a_make_target_needs_is_in_it() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    makefile = re.sub(r"\$\(\w+\)/\S+", "", makefile)  # of environments
    needed = set(re.findall(r"[\w./-]+\.(?:toml|txt|py|jpg)\b", makefile))
    assert {"constraints.txt", "bench/requirements.txt", "docs/demo/dog.jpg"} <= needed
    assert {Path(path).parts[0] for path in needed} <= included()


def test_every_package_of_the_repository_that_a_test_imports_is_in_it() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").rglob("*.py")]
    modules = [n.module or "" for t in trees for n in ast.walk(t) if isinstance(n, ast.ImportFrom)]
    names = {module.split(".")[0] for module in modules}
    assert "bench" in names
    assert {name for name in names if (ROOT / name).is_dir()} <= included()
