import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from echoes_rt.backends import select
from echoes_rt.backends.probe import MissingDevice
from echoes_rt.bundle import Bundle
from echoes_rt.engine import Engine
from echoes_rt.gpu_check import peers
from echoes_rt.gpu_check.__main__ import main
from echoes_rt.gpu_check.outcome import FAILED, PASSED, SKIPPED
from echoes_rt.gpu_check.parity import check_one_call, check_parity, signal_to_noise_db
from echoes_rt.gpu_check.run import DEVICES, run_checks
from echoes_rt.gpu_check.soak import _outcome, check_soak
from echoes_rt.profile import report
from echoes_rt.profile.cold_start import ColdStart


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider, no PyTorch: what a test has of a GPU is a fake."""
    missing = MissingDevice(reason="it is not there", remedy="get one")
    monkeypatch.setattr(select, "missing_provider", lambda _: missing)
    monkeypatch.setattr(peers, "_MODULE", "echoes_rt.no_such_module")


def test_machine_without_a_gpu_is_told_so_to_the_end(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echoes_rt.backends.cuda_driver.LIBRARY", "libno-such-driver.so.1")
    out = tmp_path / "report"
    result = CliRunner().invoke(main, ["--bundle", str(tiny_bundle), "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for device, line in zip([*DEVICES, "-"], lines, strict=False):
        assert line.startswith(f"SKIPPED {device} ")
    assert "cuda cannot be used: it is not there; get one" in lines[0]
    assert "tensorrt cannot be used: there is no NVIDIA driver" in lines[1]
    assert "no_such_module" in lines[4]
    assert lines[5] == f"0 passed, 0 failed, 5 SKIPPED; report: {out}"
    assert lines[6].startswith("NOTHING WAS CHECKED")
    entries = json.loads((out / "report.json").read_text())
    assert [entry["status"] for entry in entries] == [SKIPPED] * 5
    assert "| SKIPPED | cuda | all |" in (out / "report.md").read_text()
    assert json.loads((out / "doctor.json").read_text())["nvidia"]["gpus"] == []


def test_every_check_of_a_device_that_starts_is_made(
    tensorrt: Any, add_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fresh process knows no fakes.
    cold = ColdStart(**dict.fromkeys(ColdStart.__dataclass_fields__, 1.0))
    monkeypatch.setattr(report, "cold_start", lambda _: cold)
    add_engine("image_to_audio")
    bundle = Bundle.open(add_engine("decode", precision="fp32"))
    made = [o for o in run_checks(bundle, 0.0, 1, lambda _: None) if o.status != SKIPPED]
    assert [(o.device, o.check) for o in made] == [
        ("tensorrt:0", check) for check in ("parity", "one call", "soak", "profile")
    ]
    # How long the last quarter takes is up to the machine that runs the tests.
    assert [o.status for o in made if o.check != "soak"] == [PASSED] * 3, [o.line for o in made]
    assert made[0].figures["flips_all_steps"] == 0
    assert json.dumps([o.to_dict() for o in made])


def test_flipped_tokens_fail(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, other = (Engine.load(tiny_bundle, device="cpu") for _ in range(2))
    assert check_parity(cpu, other).status == PASSED
    real = other.decode_tokens

    def wrong(tokens: Any, mask: Any, **dials: Any) -> Any:
        decoded = real(tokens, mask, **dials)
        decoded[0] = np.where(mask[0], (decoded[0] + 1) % 16, decoded[0])  # one member of 16
        return decoded

    monkeypatch.setattr(other, "decode_tokens", wrong)
    outcome = check_parity(cpu, other)
    assert outcome.status == FAILED
    assert outcome.figures["flips_one_step"] == pytest.approx(1 / 16, abs=0.01)
    assert "fp32: 6" in outcome.said


def test_wrong_samples_fail(
    tensorrt: Any, add_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_engine("image_to_audio")
    folder = add_engine("decode")
    cpu, gpu = (Engine.load(folder, device=device) for device in ("cpu", "tensorrt"))
    assert check_one_call(cpu, gpu).status == PASSED
    monkeypatch.setattr(cpu, "decode_audio", lambda codes: np.zeros((1, 2048), np.float32))
    assert check_one_call(cpu, gpu).status == FAILED


def test_soak_runs_a_device(tiny_bundle: Path) -> None:
    outcome = check_soak(Engine.load(tiny_bundle, device="cpu"), 0.0)
    assert (outcome.figures["runs"], outcome.figures["different"]) == (8, 0)


@pytest.mark.parametrize(
    ("times_ms", "free_mb", "n_different", "status"),
    [
        ([50.0] + [10.0] * 11, [1000.0] * 12, 0, PASSED),
        ([10.0] * 12, [1000.0] * 12, 1, FAILED),
        ([10.0] * 8 + [15.0] * 4, [1000.0] * 12, 0, FAILED),
        ([10.0] * 12, [1000.0] * 4 + [900.0] * 8, 0, FAILED),
        ([10.0] * 12, [1000.0] * 2 + [900.0] * 10, 0, PASSED),
    ],
)
def test_soak_fails_for_difference_heat_and_growth(
    times_ms: list[float], free_mb: list[float], n_different: int, status: str
) -> None:
    assert _outcome("cuda:0", times_ms, free_mb, n_different).status == status


def test_signal_to_noise() -> None:
    signal = np.ones((1, 100), dtype=np.float32)
    assert signal_to_noise_db(signal, signal) == 200
    assert signal_to_noise_db(signal, signal * np.float32(1.1)) == pytest.approx(20, abs=0.01)
