"""A loaded model in forks, pickles and threads that outlive the program."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from echoes_rt import Echoes

FORK = """
import os, signal, sys, threading, time
import numpy as np
from echoes_rt import Echoes
picture = np.zeros((40, 50, 3), np.uint8)
echoes = Echoes.load(sys.argv[1], device="cpu", threads=2)
wanted = echoes.generate(picture, seed=1).samples
stop = threading.Event()

def load():
    while not stop.is_set():
        Echoes.load(sys.argv[1], device="cpu", threads=2).prepare("vocoder", "decode_audio_step")

thread = threading.Thread(target=load, daemon=True)  # or a failure would not end the program
thread.start()
for turn in range(4):
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        other = Echoes.load(sys.argv[1], device="cpu", threads=2)
        for model in (echoes, other):
            assert (model.generate(picture, seed=1).samples == wanted).all()
        sys.exit(7)  # as any program ends, freeing what it holds
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
stop.set()
thread.join()
"""

DAEMON = """
import sys, threading, time
import numpy as np
from echoes_rt import Echoes
from echoes_rt.io.audio import resample
from echoes_rt.io.image import resize
picture = np.zeros((40, 50, 3), np.uint8)
samples = np.zeros((1000, 1), np.float32)
echoes = Echoes.load(sys.argv[1], device="cpu", threads=1)
calls = [
    lambda: echoes.generate(picture, seed=1),
    lambda: Echoes.load(sys.argv[1], device="cpu", threads=1).generate(picture, seed=1),
    lambda: resize(picture, echoes.bundle.manifest.image),
    lambda: resample(samples, 48000, 22050),
]
done = set()

def work(number):
    while True:
        calls[number]()
        done.add(number)

for number in (0, *range(len(calls))):
    threading.Thread(target=work, args=(number,), daemon=True).start()
while len(done) < len(calls):
    time.sleep(0.01)
"""


def run(program: str, bundle: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", program, str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_process_uses_its_parents_model_and_its_own(tiny_bundle: Path) -> None:
    run(FORK, tiny_bundle)


def test_daemon_threads_at_work_do_not_abort_the_program(tiny_bundle: Path) -> None:
    run(DAEMON, tiny_bundle)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_pickling_says_what_to_do_instead(duplicate: object, tiny_bundle: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu")
    with pytest.raises(TypeError, match=r"Echoes holds sessions .* call its load\(\) in each"):
        duplicate(echoes)  # type: ignore[operator]
