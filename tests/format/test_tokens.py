from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echoes_rt.format.tokens import Grid, TokenLayout, halton_order

grids = st.builds(
    Grid,
    height=st.integers(1, 16),
    width=st.integers(1, 16),
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


@given(st.integers(1, 32), st.integers(1, 32))
@settings(max_examples=30, deadline=None)
def test_the_order_of_halton_has_each_position_once(height: int, width: int) -> None:
    assert sorted(halton_order(height, width)) == list(range(height * width))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        *({"order": o} for o in ((0, 1, 2), (0, 1, 2, 2), (1, 2, 3, 4), (-1, 0, 1, 2))),
    ],
)
def test_impossible_grids_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"order|positive"):
        Grid(**{"height": 2, "width": 2, "codebook_size": 4} | change)
