"""Programs that the tests of the C++ library run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "cpp_bindings"


def tool(name: str) -> str | None:
    """A program of this environment (PyPI has cmake and ninja), or of the system."""
    here = str(Path(sys.executable).parent)
    return shutil.which(name, path=here + os.pathsep + os.environ.get("PATH", ""))


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What it writes to stdout; a failure shows all that it said."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=env, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
