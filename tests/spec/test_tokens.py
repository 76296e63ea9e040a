import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoes_rt.spec.tokens import Grid, TokenLayout

grids = st.builds(
    Grid,
    height=st.integers(1, 64),
    width=st.integers(1, 64),
    codebook_size=st.integers(1, 4096),
)


@given(grids, grids)
def test_media_fill_the_sequence_without_overlap(image: Grid, audio: Grid) -> None:
    layout = TokenLayout(image=image, audio=audio)
    positions = list(range(layout.n_tokens))
    assert positions[layout.image_slice] + positions[layout.audio_slice] == positions
    assert len(positions[layout.image_slice]) == image.n_tokens


@given(grids, grids)
def test_mask_token_is_no_code(image: Grid, audio: Grid) -> None:
    layout = TokenLayout(image=image, audio=audio)
    assert layout.mask_token_id >= max(image.codebook_size, audio.codebook_size)


def test_empty_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive, got 0, 5, 16"):
        Grid(height=0, width=5, codebook_size=16)
