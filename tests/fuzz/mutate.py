"""Damage to bytes, drawn from a seed."""

import random

_HEADER = 256
_WORDS = (
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x80",
    b"\x01\x00\x00\x00",
    b"\x00\x00\x10\x00",
)


def mutated(data: bytes, rng: random.Random, *, in_place: bool = False) -> bytes:
    """One to a dozen bits, bytes, words and pieces of it changed, half of them near the start.

    ``in_place`` changes no length, which what is nested does not survive.
    """
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 12))):
        if not made:
            break
        at = rng.randrange(
            min(len(made), _HEADER) if not in_place and rng.random() < 0.5 else len(made)
        )
        match rng.randrange(3 if in_place else 7):
            case 0:
                made[at] ^= 1 << rng.randrange(8)
            case 1:
                made[at] = rng.randrange(256)
            case 2:
                made[at : at + 4] = rng.choice(_WORDS)
            case 3:
                del made[at : at + rng.choice((1, 4, 64))]
            case 4:
                made[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
            case 5:
                made[at:at] = made[at : at + rng.randrange(1, 512)]
            case _:
                if rng.random() < 0.3:
                    del made[at:]
    return bytes(made)
