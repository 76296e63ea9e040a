"""Which generated file belongs to which file of the reference: their names say it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from echoes_rt.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """pairs of (generated, reference), sorted, and the names that have no partner."""

    pairs: list[tuple[str, str]]
    without_reference: list[str]
    without_generated: list[str]

    @property
    def is_repeated(self) -> bool:
        """Whether several generated files belong to the same one of the reference."""
        return len({b for _, b in self.pairs}) < len(self.pairs)


def parse_pattern(text: str) -> re.Pattern[str]:
    """Raises InputError if it is not a regular expression with one group."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f"--pair-by {text!r} is not a regular expression: {error}") from error
    if pattern.groups != 1:
        raise InputError(
            f"--pair-by {text!r} must have one group in parentheses, the reference's name; "
            f"it has {pattern.groups}"
        )
    return pattern


def pair_names(
    generated: Iterable[str], reference: Iterable[str], pattern: re.Pattern[str] | None = None
) -> Pairing:
    """Pairs equal names; with a pattern, its group in the generated name is the partner's.

    Raises:
        InputError: if the pattern does not match a generated name.
    """
    partners = {name: name for name in sorted(generated)}
    if pattern is not None:
        partners = {name: _group(pattern, name) for name in partners}
    known = set(reference)
    pairs = [pair for pair in partners.items() if pair[1] in known]
    return Pairing(
        pairs=pairs,
        without_reference=[name for name, partner in partners.items() if partner not in known],
        without_generated=sorted(known - {b for _, b in pairs}),
    )


def _group(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.fullmatch(name)
    if match is None:
        raise InputError(f"--pair-by {pattern.pattern!r} does not match the generated file {name}")
    return match.group(1)
