"""ONNX Runtime's telemetry is off unless the environment asks for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from echoes_rt.backends.session_start import import_onnxruntime

HAS_TELEMETRY = sys.platform == "linux" and tuple(
    int(part) for part in onnxruntime.__version__.split(".")[:2]
) >= (1, 29)

CONTINUOUS_INTEGRATION = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "JENKINS_URL")

LOAD = """
import sys, time
from pathlib import Path
from echoes_rt import Echoes
echoes = Echoes.load(sys.argv[1], device="cpu", threads=1)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    if Path(sys.argv[3]).exists():
        until = min(until, time.monotonic() + 2)
    echoes.generate(sys.argv[4], seed=1)
    time.sleep(0.2)
"""

# Stands in for the C library's, and notes that it was asked.
GETADDRINFO = """
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r) {
  FILE *file = fopen(getenv("LOOKUPS"), "a");
  (void)s, (void)h, (void)r;
  if (file != NULL) fprintf(file, "%s\\n", n), fclose(file);
  return EAI_FAIL;
}
"""


def start_at_home(home: Path, *arguments: object, **variables: str) -> subprocess.Popen[bytes]:
    """Starts LOAD with an empty home directory."""
    home.mkdir()
    # The last ones turn it off by themselves.
    private = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME", *CONTINUOUS_INTEGRATION)
    kept = {name: value for name, value in os.environ.items() if name not in private}
    command = [sys.executable, "-c", LOAD, *map(str, arguments)]
    return subprocess.Popen(command, env={**kept, "HOME": str(home), **variables})


def test_nothing_is_left_in_the_home_directory(
    tiny_bundle: Path, picture: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    assert start_at_home(home, tiny_bundle, 0.1, tmp_path / "no", picture).wait() == 0
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_a_library_that_was_loaded_before_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: calls.append("off"))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    import_onnxruntime()
    assert not calls
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    import_onnxruntime()
    assert calls == ["off"]
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TELEMETRY, reason="this ONNX Runtime has no telemetry")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_no_host_is_looked_up_unless_it_is_allowed(
    tiny_bundle: Path, picture: Path, tmp_path: Path
) -> None:
    """Side by side: what is not allowed to goes on for a while after the other one has done it."""
    source, library, asked = tmp_path / "a.c", tmp_path / "a.so", tmp_path / "asked"
    source.write_text(GETADDRINFO, "utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    started = []
    for name, variables in (("never", {}), ("asked", {"ORT_DISABLE_TELEMETRY": "0"})):
        variables |= {"LD_PRELOAD": str(library), "LOOKUPS": str(tmp_path / name)}
        home = tmp_path / f"home-{name}"
        started.append(start_at_home(home, tiny_bundle, 60, asked, picture, **variables))
    assert [process.wait() for process in started] == [0, 0]
    assert asked.exists()
    assert not (tmp_path / "never").exists()
