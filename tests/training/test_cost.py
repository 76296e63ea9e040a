"""The count of operations, against one by hand."""

import pytest
from click.testing import CliRunner

from echoes_training.cli import main
from echoes_training.cost import Work, count_work
from echoes_training.presets import PRESETS


@pytest.mark.parametrize("name", ["base", "large"])
def test_the_count_is_the_textbooks(name: str) -> None:
    stage = PRESETS[name].transformer
    D, L, N, V = stage.model.width, stage.model.layers, stage.layout.n_tokens, 1024
    forward = (24 * D**2 * N + 4 * N**2 * D) * L + 2 * N * D * V
    training = count_work(PRESETS[name], clips=7, pictures=10)[-1]
    assert training.flops == pytest.approx(3 * forward, rel=1e-6)
    assert training.count == 102_400_000


def test_every_picture_is_encoded_once() -> None:
    pictures, sounds, _ = count_work(PRESETS["tiny"], clips=7, pictures=10)
    assert (pictures.count, sounds.count) == (70, 7)
    assert min(pictures.flops, sounds.flops) > 0


def test_hours_are_operations_by_speed() -> None:
    work = Work(name="it", flops=3600 * 10**12, count=5)
    assert work.gpu_hours(10.0, 0.25) == pytest.approx(2.0)


def test_the_command_adds_up() -> None:
    result = CliRunner().invoke(main, ["cost", "--preset", "tiny", "--clips", "100"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith("encode pictures: 1,000 x ")
    assert lines[-1].startswith("estimate: 0.0 GPU hours at 40% of 989 TFLOP/s")
