"""Strict reading of JSON objects: every refusal names the key, its value and what is allowed."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from echoes_rt.errors import ManifestError

T = TypeVar("T")

_SHOWN_CHARS = 60


def parse_json(text: str | bytes) -> object:
    """JSON without its traps: NaN, Infinity and repeated keys are refused.

    Raises:
        ManifestError: if ``text`` is not such JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"the manifest is not valid JSON: {error}") from error


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {repeated!r} appears twice in one object")
    return unique


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def shown(value: object) -> str:
    """The value as JSON, cut to fit a sentence."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


@dataclass(frozen=True)
class Field:
    """A value and the key under which it stands, such as ``graphs.step.file``."""

    key: str
    value: object

    def wrong(self, allowed: str) -> ManifestError:
        return ManifestError(f"manifest key {self.key} must be {allowed}, got {shown(self.value)}")

    def integer(self, low: int, high: int) -> int:
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(f"a whole number in [{low}, {high}]")
        return value

    def number(self, low: float, high: float) -> float:
        value = self.value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # type: ignore[operator]
            raise self.wrong(f"a number in [{low:g}, {high:g}]")
        return float(value)  # type: ignore[arg-type]

    def string(self, pattern: re.Pattern[str], allowed: str) -> str:
        if not isinstance(self.value, str) or not pattern.fullmatch(self.value):
            raise self.wrong(allowed)
        return self.value

    def choice(self, choices: tuple[str, ...]) -> str:
        if not isinstance(self.value, str) or self.value not in choices:
            raise self.wrong(f"one of {', '.join(choices)}")
        return self.value

    def array(self, low: int, high: int, of: str) -> list["Field"]:
        if not isinstance(self.value, list) or not low <= len(self.value) <= high:
            count = str(low) if low == high else f"{low} to {high}"
            raise self.wrong(f"an array of {count} {of}")
        return [Field(f"{self.key}[{i}]", item) for i, item in enumerate(self.value)]

    def object(self) -> "Object":
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return Object(self.key, self.value)

    def build(self, make: Callable[[], T]) -> T:
        """Calls a dataclass whose own checks raise ValueError."""
        try:
            return make()
        except ValueError as error:
            raise ManifestError(f"manifest key {self.key} is refused: {error}") from error


@dataclass(frozen=True)
class Object:
    """A JSON object; keys that nobody asks for are allowed and ignored."""

    key: str
    values: dict[str, object]

    def __getitem__(self, name: str) -> Field:
        if name not in self.values:
            raise ManifestError(f"manifest key {self._path(name)} is missing")
        return Field(self._path(name), self.values[name])

    def get(self, name: str, default: object) -> Field:
        return Field(self._path(name), self.values.get(name, default))

    def items(self) -> list[tuple[str, Field]]:
        return [(name, self[name]) for name in self.values]

    def _path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name
