"""How a batch is divided, by a process that is alone."""

import pytest

from echoes_rt.errors import InputError
from echoes_training.config import LoopConfig
from echoes_training.processes import Processes


def fellows(size: int) -> list[Processes]:
    """Processes that say that they are of several, without any others."""
    found = []
    for rank in range(size):
        processes = Processes("cpu")
        processes.size, processes.rank = size, rank
        found.append(processes)
    return found


@pytest.mark.parametrize(("size", "accumulate"), [(1, 1), (1, 3), (2, 1), (3, 2), (4, 3)])
def test_the_parts_are_the_batch(size: int, accumulate: int) -> None:
    parts = [p.parts(24, accumulate) for p in fellows(size)]
    assert all(len(p) == accumulate for p in parts)
    assert sorted(place for p in parts for part in p for place in part) == list(range(24))
    # Each part is spread over the whole batch, of which the beginning may be special.
    assert all(max(part) - min(part) >= 24 - 2 * size * accumulate for p in parts for part in p)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(InputError, match=r"multiple of processes x loop.accumulate, 4 x 1, got 6"):
        fellows(4)[0].parts(6, 1)
    with pytest.raises(ValueError, match="accumulate must divide the batch_size of 6, got 4"):
        LoopConfig(steps=1, batch_size=6, learning_rate=1.0, accumulate=4)


def test_sharding_by_accelerates_own_settings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="asks for FSDP; leave it out there"):
        Processes("cpu")
