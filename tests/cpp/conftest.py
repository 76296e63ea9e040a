"""Builds the C++ library once, with what the machine has."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The helpers beside this file; tests are no package.
sys.path.insert(0, str(Path(__file__).parent))

from native import SOURCE, Native, run, tool

from echoes_rt.bundle import find_bundle


@pytest.fixture(scope="session")
def onnxruntime_folder() -> Path:
    """The library that the Python package brings."""
    import onnxruntime

    return Path(onnxruntime.__file__).parent / "capi"


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory, onnxruntime_folder: Path) -> Iterator[Path]:
    """The folder of the built library; ECHOES_RT_CPP_BUILD names one to use again."""
    missing = [name for name in ("cmake", "ninja", "c++") if tool(name) is None]
    if missing:
        pytest.skip(f"the C++ library is NOT TESTED: there is no {', '.join(missing)}")
    kept = os.environ.get("ECHOES_RT_CPP_BUILD")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("cpp")
    cmake, ninja = str(tool("cmake")), tool("ninja")
    run(
        cmake,
        *("-S", SOURCE, "-B", folder, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"),
        *("-DCMAKE_BUILD_TYPE=Release", "-DECHOES_STRICT=ON"),
    )
    run(cmake, "--build", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECHOES_RT_ORT", str(onnxruntime_folder))
        yield folder


@pytest.fixture(scope="session")
def library(build: Path) -> Path:
    name = "libechoes_rt.dylib" if sys.platform == "darwin" else "libechoes_rt.so"
    return build / name


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Path) -> Path:
    """What all runtimes are compared on; ECHOES_RT_TEST_BUNDLE names another one."""
    named = os.environ.get("ECHOES_RT_TEST_BUNDLE")
    return find_bundle(named).folder if named else tiny_bundle


@pytest.fixture(scope="session")
def native(library: Path, bundle: Path) -> Iterator[Native]:
    model = Native(library, bundle, device=b"cpu", threads=1)
    yield model
    model.close()


@pytest.fixture
def opened(library: Path) -> Iterator[Callable[..., Native]]:
    """Opens models, which are closed at the end of the test."""
    models: list[Native] = []

    def open_model(bundle: Path, **options: Any) -> Native:
        models.append(Native(library, bundle, **{"device": b"cpu", "threads": 1, **options}))
        return models[-1]

    yield open_model
    for model in models:
        model.close()
