"""Ours against the original code, where its clones lie; and the front end, which needs none.

``ECHOES_REFERENCES=clones pytest tests/parity`` runs what ``compare.py`` says.
"""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from echoes_rt.format.mel import MelSpec
from echoes_training.models.mel import log_mel

COMPARE = Path(__file__).with_name("compare.py")
COMPARE_METRICS = Path(__file__).with_name("compare_metrics.py")
FRONT_END = Path(__file__).parents[1] / "fixtures" / "published" / "front-end.json"


@pytest.mark.slow
@pytest.mark.skipif(
    "ECHOES_REFERENCES" not in os.environ,
    reason="NOT COMPARED WITH THE ORIGINAL CODE: set ECHOES_REFERENCES to a folder of its clones",
)
@pytest.mark.parametrize("network", ["taming", "maskgit", "specvqgan", "melgan", "front-end"])
def test_ours_computes_what_the_original_computes(network: str) -> None:
    command = [sys.executable, COMPARE, os.environ["ECHOES_REFERENCES"], "--only", network]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get("ECHOES_REFERENCES", "")) / "av-benchmark").is_dir(),
    reason="NOT COMPARED WITH AV-BENCHMARK: put a clone of it and one of SpecVQGAN into the folder "
    "ECHOES_REFERENCES",
)
def test_metrics_are_those_of_av_benchmark_and_specvqgan() -> None:
    command = [sys.executable, COMPARE_METRICS, os.environ["ECHOES_REFERENCES"]]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_row_of_the_comparison_has_its_limit() -> None:
    row = runpy.run_path(str(COMPARE))["Row"]
    verdicts = [
        row(network="taming", compared="latents", difference=value).is_ok
        for value in (1e-5, 1.1e-4, float("nan"))
    ]
    assert verdicts == [True, False, False]


def test_log_mel_is_that_of_specvqgan() -> None:
    """Its own code wrote these frames, of a chirp that starts and ends loudly."""
    frames = json.loads(FRONT_END.read_text("utf-8"))
    ours = log_mel(runpy.run_path(str(COMPARE))["chirp"](), MelSpec(n_frames=848))
    assert set(frames) >= {"0", "859"}
    for index, theirs in frames.items():
        np.testing.assert_allclose(ours[:, int(index)], 2 * np.array(theirs) - 1, atol=1e-4)
