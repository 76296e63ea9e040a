"""The checks of ``make gpu-check`` on whatever GPU there is; each device that is not is skipped."""

from pathlib import Path

import pytest

from echoes_rt.engine import Engine
from echoes_rt.errors import EchoesError
from echoes_rt.gpu_check.outcome import PASSED
from echoes_rt.gpu_check.run import DEVICES, check_device


@pytest.mark.gpu
@pytest.mark.parametrize("device", DEVICES)
def test_device_passes_its_checks(device: str, tiny_bundle: Path) -> None:
    try:
        engine = Engine.load(tiny_bundle, device=device)
    except EchoesError as error:
        pytest.skip(f"NOT TESTED ON {device}: {error}")
    cpu = Engine.load(tiny_bundle, device="cpu")
    outcomes = [*check_device(cpu, engine, seconds=5, runs=3, say=lambda _: None)]
    assert all(outcome.status == PASSED for outcome in outcomes), [o.line for o in outcomes]
