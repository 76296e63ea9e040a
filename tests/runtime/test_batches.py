"""Many sources and seeds in one call."""

from pathlib import Path
from threading import Barrier
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from tests.runtime.commands import Run

from echoes_rt import CancelledError, Echoes, Picture, Sound
from echoes_rt.io.image import write_image
from echoes_rt.tasks import whole
from echoes_rt.tasks.call import Progress, together


@pytest.fixture(scope="module", params=[1, 2])
def echoes(request: pytest.FixtureRequest, tiny_bundle: Path) -> Echoes:
    return Echoes.load(tiny_bundle, device="cpu", threads=request.param)


@pytest.fixture(scope="module")
def sources() -> list[Any]:
    """Four pictures and, in between, two sounds, all different."""
    rng = np.random.default_rng(0)
    pictures: list[Any] = [rng.integers(0, 256, (40, 48, 3), dtype=np.uint8) for _ in range(4)]
    sounds: list[Any] = [rng.normal(0, 0.1, 22_050).astype(np.float32) for _ in range(2)]
    return [pictures[0], sounds[0], *pictures[1:3], sounds[1], pictures[3]]


def test_members_are_what_each_is_alone(echoes: Echoes, sources: list[Any]) -> None:
    made = echoes.generate_many(sources, count=3, seed=5)
    assert [len(results) for results in made] == [3] * len(sources)
    for source, results in zip(sources, made, strict=True):
        for i, result in enumerate(results):
            alone = echoes.generate(source, seed=5 + i)
            assert type(result) is type(alone)
            assert result.seed == alone.seed
            np.testing.assert_array_equal(result.codes, alone.codes)
            if isinstance(result, Sound) and isinstance(alone, Sound):
                np.testing.assert_allclose(result.samples, alone.samples, atol=1e-5)
            if isinstance(result, Picture) and isinstance(alone, Picture):
                assert np.abs(result.pixels.astype(int) - alone.pixels).max() <= 1


def test_the_likeliest_are_those_of_their_own_source(echoes: Echoes, sources: list[Any]) -> None:
    made = echoes.generate_many(sources[1:3], count=4, rank=2, seed=1)
    for source, results in zip(sources[1:3], made, strict=True):
        (alone,) = echoes.generate_many([source], count=4, rank=2, seed=1)
        assert [r.seed for r in results] == [r.seed for r in alone]


@pytest.mark.parametrize(("count", "largest"), [(1, 4), (5, whole.BATCH)])
def test_no_more_members_than_a_batch_are_in_work(
    count: int, largest: int, echoes: Echoes, sources: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    decode = Echoes.decode_tokens

    def note(model: Echoes, target: str, tokens: Any, *rest: Any, **more: Any) -> Any:
        sizes.append(len(tokens))
        return decode(model, target, tokens, *rest, **more)

    monkeypatch.setattr(Echoes, "decode_tokens", note)
    pictures = [source for source in sources if source.ndim == 3]
    echoes.generate_many(pictures, count=count, seed=5)
    assert sum(sizes) == len(pictures) * count
    assert max(sizes) == largest // echoes.callers


def test_cancelling_one_cancels_all(echoes: Echoes, sources: list[Any]) -> None:
    told: list[int] = []

    def stop(step: int, steps: int) -> bool:
        told.append(step)
        return False

    with pytest.raises(CancelledError):
        echoes.generate_many(sources, count=4, on_step=stop)
    assert told == [0]


def test_the_error_of_one_part_ends_the_others() -> None:
    """The other part works until it is told to stop, and more are not begun."""
    progress, begun, barrier = Progress(None), set[int](), Barrier(2)

    def make(part: int) -> None:
        begun.add(part)
        if part < 2:
            barrier.wait(10)
        if part == 1:
            raise ValueError("one")
        while progress(0, 1):
            pass
        raise CancelledError("stopped")

    with pytest.raises(ValueError, match="one"):
        together(make, range(9), 2, progress)
    assert {0, 1} <= begun
    assert len(begun) <= 4  # the two threads took one more each, at most


def test_time_of_two_at_once_counts_once(echoes: Echoes, sources: list[Any]) -> None:
    begin = perf_counter()
    made = echoes.generate_many(sources, count=2, seed=1)
    took_ms = (perf_counter() - begin) * 1000
    assert sum(made[0][0].timings_ms.values()) <= took_ms


def test_a_folder_is_what_its_files_are_alone(run: Run, tmp_path: Path, sources: list[Any]) -> None:
    """One that cannot be read does not keep the others from being made."""
    (tmp_path / "in").mkdir()
    for i in range(10):
        write_image(tmp_path / "in" / f"{i}.png", sources[2] // (i + 1))
    (tmp_path / "in" / "3.png").write_bytes(b"no picture")
    made = run("generate", "in", "out", "--seed", 4, "-q")
    assert made.exit_code == 1
    assert made.stderr.count("Error:") == 1
    assert len([*(tmp_path / "out").iterdir()]) == 9
    for name in ("0", "4", "9"):
        assert run("generate", f"in/{name}.png", "alone.wav", "--seed", 4, "-q").exit_code == 0
        whole_folder, alone = (
            np.frombuffer(path.read_bytes()[44:], np.int16).astype(int)
            for path in (tmp_path / "out" / f"{name}.wav", tmp_path / "alone.wav")
        )
        assert np.abs(whole_folder - alone).max() <= 1
