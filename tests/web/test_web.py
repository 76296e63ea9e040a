"""The browser's own tests: Vitest in node, and the page in headless Chromium."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "runtime" / "web"
BUILT = ROOT / "runtime" / "echoes_rt" / "web" / "index.html"

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")

OLDEST_NODE = (20, 19)
TIMEOUT_S = 900


def node_version() -> tuple[int, ...] | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.strip().lstrip("v").split(".")[:2])


def run(*command: str, **variables: str) -> None:
    done = subprocess.run(
        command,
        cwd=WEB,
        env=os.environ | {"ECHOES_RT_PYTHON": sys.executable, "NO_COLOR": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def installed() -> None:
    """Node's packages, as package-lock.json has them; installed anew only if it has changed."""
    version = node_version()
    if version is None or version < OLDEST_NODE:
        wanted = ".".join(str(part) for part in OLDEST_NODE)
        pytest.skip(f"THE BROWSER IS NOT TESTED: Node.js {wanted} or newer and npm are missing")
    lock, marker = WEB / "package-lock.json", WEB / "node_modules" / ".installed"
    if not marker.exists() or marker.read_bytes() != lock.read_bytes():
        try:
            run("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
        except AssertionError as error:
            pytest.skip(f"THE BROWSER IS NOT TESTED: npm ci failed: {error}")
        marker.write_bytes(lock.read_bytes())


@pytest.fixture(scope="module")
def chromium() -> str:
    found = os.environ.get("ECHOES_RT_CHROMIUM") or next(
        filter(None, map(shutil.which, CHROMIUMS)), ""
    )
    if not found:
        pytest.skip("THE PAGE IS NOT TESTED: no Chromium found; name one by ECHOES_RT_CHROMIUM")
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_types_and_units() -> None:
    run("npx", "tsc", "--noEmit")
    run("npm", "test")


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_page_in_chromium(chromium: str) -> None:
    run("npx", "vite", "build")
    assert BUILT.is_file()
    run("npm", "run", "e2e", ECHOES_RT_CHROMIUM=chromium)
