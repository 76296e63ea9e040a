"""Which categories a codec's head tells apart, by the numbers that it gives them."""

from collections.abc import Iterable
from pathlib import Path

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.data.index import Clip

UNKNOWN = -1
"""The number of a category that is not trained on: no answer is that."""


def names(clips: Iterable[Clip]) -> list[str]:
    """The categories of clips to train on, in the order of their numbers."""
    return sorted({clip.category for clip in clips})


def numbers(run: Path, clips: Iterable[Clip]) -> dict[str, int]:
    """The number of each category that the head of ``run`` knows.

    Raises:
        InputError: if it does not know the category of one of the ``clips``, which are to be
            trained on.
    """
    found = names(clips)
    known = checkpoint.load_config(run).get("categories", found)  # older runs do not say
    new = [name for name in found if name not in known]
    if new:
        raise InputError(
            f"the index has {len(new)} categories that {run} was not trained on, {new[0]!r} for "
            "one; pass the index of that run, or to refine it without categories, "
            "--set loss_weights.category=0"
        )
    return {name: number for number, name in enumerate(known)}
