import pytest

from echoes_rt.format.image import ImageSpec


@pytest.mark.parametrize(
    "change",
    [{"height": 0}, {"width": -1}, {"mean": (0.5, 0.5)}, {"std": (0.5, 0.5, 0.0)}],
)
def test_impossible_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="image"):
        ImageSpec(**change)  # type: ignore[arg-type]
