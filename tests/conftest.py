"""What many tests need: the tiny bundle, a picture."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.manifests import put_graph

FIXTURES = Path(__file__).parent / "fixtures"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--passed",
        metavar="FILE",
        type=Path,
        help="leaves out the tests that FILE names, and adds to it those that pass",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = config.option.passed
    if path is not None and path.exists():
        passed = set(path.read_text("utf-8").splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.option.passed is not None:
        with config.option.passed.open("a", encoding="utf-8") as file:
            file.writelines(
                f"{report.nodeid}\n" for report in terminalreporter.getreports("passed")
            )


@pytest.fixture(scope="session")
def tiny_bundle() -> Path:
    """A whole bundle with random weights; read it, never write to it."""
    return FIXTURES / "tiny_bundle"


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The same, to be written to."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture(scope="session")
def tiny_manifest(tiny_bundle: Path) -> Callable[[], dict[str, Any]]:
    """A fresh copy of the tiny bundle's manifest to break."""
    text = (tiny_bundle / "manifest.json").read_text("utf-8")
    return lambda: json.loads(text)


@pytest.fixture
def confident_bundle(copy: Path) -> Path:
    """A copy of the tiny bundle with a graph that tells the mean of a picture's codes / 32."""
    put_graph(copy, "confidence", (FIXTURES / "confidence.onnx").read_bytes())
    return copy


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A JPEG of 90 x 60 pixels with soft colours, which survive compression."""
    coarse = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    path = tmp_path / "picture.jpg"
    cv2.imwrite(str(path), cv2.resize(coarse, (90, 60), interpolation=cv2.INTER_CUBIC))
    return path
