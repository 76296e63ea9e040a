"""The checks of ``make gpu-check`` on whatever GPU there is; each device that is not is skipped."""

from pathlib import Path

import pytest

from echoes_rt.bundle import Bundle
from echoes_rt.model import Model
from echoes_rt.nvidia.gpu_check import PASSED, SKIPPED
from echoes_rt.nvidia.gpu_check.run import DEVICES, check_device, start_device


@pytest.mark.gpu
@pytest.mark.parametrize("device", DEVICES)
def test_device_passes_its_checks(device: str, tiny_bundle: Path, tmp_path: Path) -> None:
    # The tiny bundle has no TensorRT engines: they are built in a copy.
    model, outcomes = start_device(Bundle.open(tiny_bundle), device, tmp_path, lambda _: None)
    if any(outcome.status == SKIPPED for outcome in outcomes):
        pytest.skip(f"NOT TESTED ON {device}: {outcomes[0].said}")
    assert model is not None, [outcome.line for outcome in outcomes]
    cpu = Model.load(tiny_bundle, device="cpu")
    outcomes += check_device(cpu, model, seconds=5, runs=3, say=lambda _: None)
    assert all(outcome.status == PASSED for outcome in outcomes), [o.line for o in outcomes]
