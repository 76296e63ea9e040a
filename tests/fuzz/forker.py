"""Runs echoes-rt in forked processes, which need not import it anew.

Each line of stdin is a list of arguments in JSON. Two lines of stdout answer it: the number of the
process, and when it is over, its exit code.
"""

import json
import os
import signal
import sys

from echoes_rt import pipeline  # noqa: F401 - here, and not in each process
from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.cli import main as echoes_rt


def main() -> None:
    import_onnxruntime()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(nothing, descriptor)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it,
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup this
            echoes_rt(json.loads(line))  # raises SystemExit, and Python ends as it always does
        print(child, flush=True)  # noqa: T201
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
