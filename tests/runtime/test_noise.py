from typing import Any

import numpy as np
import pytest

from echoes_rt.decode.noise import MAX_SEED, MEL_STREAM, uniforms
from echoes_rt.errors import InputError

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
WORD = 2**64 - 1


def philox4x64_10(counter: list[int], key: list[int]) -> list[int]:
    """The generator as Salmon et al. (2011) write it, in plain integers."""
    for _ in range(10):
        high0, low0 = divmod(MULTIPLIERS[0] * counter[0], 2**64)
        high1, low1 = divmod(MULTIPLIERS[1] * counter[2], 2**64)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + WEYL[0]) & WORD, (key[1] + WEYL[1]) & WORD]
    return counter


@pytest.mark.parametrize("seed", [0, 1, 12345, MAX_SEED])
def test_noise_is_what_the_format_says(seed: int) -> None:
    for stream in (0, 7, MEL_STREAM):
        words = [word for i in range(1, 6) for word in philox4x64_10([i, 0, 0, 0], [seed, stream])]
        expected = [(2 * (word >> 41) + 1) / 2**24 for word in words]
        assert uniforms([seed], stream, 20)[0].tolist() == expected


def test_each_member_has_its_own_stream() -> None:
    both = uniforms([3, 4], 5, 7)
    np.testing.assert_array_equal(both[:1], uniforms([3], 5, 7))
    np.testing.assert_array_equal(both[1:], uniforms([4], 5, 7))
    assert (both[0] != both[1]).all()
    assert (both != uniforms([3, 4], 6, 7)).all()


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.5, True, "7"])
def test_impossible_seed_is_refused(seed: Any) -> None:
    with pytest.raises(InputError, match="seed must be"):
        uniforms([seed], 1, 1)
