"""``python -m bench.gpu_run.facts``: what the machine is."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys

OURS = re.compile(r"(nvidia|torch|triton|onnx|numpy|opencv|cuda|tensorrt)", re.IGNORECASE)


def main() -> None:
    lines = [f"{platform.platform()}, {os.cpu_count()} CPUs"]
    for command in (["nvidia-smi"], ["nvidia-smi", "-q", "-d", "CLOCK,POWER"]):
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError as error:
            said = f"{command[0]}: {error.strerror}"
        lines.append(said.strip())
    found = {(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()}
    lines.append(", ".join(f"{name} {v}" for name, v in sorted(found) if OURS.match(name)))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
