"""The checks of ``make gpu-check`` on whatever GPU there is; each device that is not is skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from echoes_rt.bundle import Bundle
from echoes_rt.engine import Engine
from echoes_rt.errors import EchoesError
from echoes_rt.gpu_check.outcome import PASSED, Outcome
from echoes_rt.gpu_check.parity import check_one_call, check_parity
from echoes_rt.gpu_check.run import DEVICES, check_profile
from echoes_rt.gpu_check.soak import check_soak

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture(scope="module", params=DEVICES)
def engine(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator[Engine]:
    try:
        yield Engine.load(bundle, device=request.param)
    except EchoesError as error:
        pytest.skip(f"NOT TESTED ON {request.param}: {error}")


def passed(outcome: Outcome) -> None:
    assert outcome.status == PASSED, outcome.line


def test_tokens_and_samples_are_the_cpus(engine: Engine, bundle: Bundle) -> None:
    passed(check_parity(Engine.load(bundle, device="cpu"), engine))


def test_one_call_gives_the_samples_of_its_codes(engine: Engine, bundle: Bundle) -> None:
    if not engine.is_one_call:
        pytest.skip("no engine of image_to_audio")
    passed(check_one_call(Engine.load(bundle, device="cpu"), engine))


def test_the_same_again_and_again(engine: Engine) -> None:
    passed(check_soak(engine, seconds=5))


def test_work_is_done_on_the_gpu(engine: Engine) -> None:
    passed(check_profile(engine, runs=3, say=lambda _: None))
