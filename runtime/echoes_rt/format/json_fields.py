"""JSON without its traps."""

import codecs
import json
import math
import re

from echoes_rt.errors import ManifestError

MAX_DEPTH = 64
"""Objects and arrays within each other; a bundle's manifest has five."""

_SHOWN_CHARS = 60
_TOO_DEEP = f"the manifest is nested deeper than the {MAX_DEPTH} levels allowed"
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(text: bytes) -> object:
    """UTF-8 JSON without its traps, the same in every language's reader.

    A byte-order mark, NaN, numbers beyond a double, repeated keys, halves of surrogate pairs and
    deep nesting are refused.

    Raises:
        ManifestError: if ``text`` is not such JSON.
    """
    try:
        if text.startswith(codecs.BOM_UTF8):
            raise ValueError("it begins with a byte-order mark; save it as UTF-8 without one")
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_double,
            parse_int=_integer,
        )
    except RecursionError as error:
        raise ManifestError(_TOO_DEEP) from error
    except ValueError as error:
        raise ManifestError(f"the manifest is not valid JSON: {error}") from error
    _check(value, "", 0)
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {shown(repeated)} appears twice in one object")
    return unique


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _double(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:_SHOWN_CHARS]} is too large")
    return value


def _integer(text: str) -> int:
    _double(text)
    return int(text)


def _check(value: object, key: str, depth: int) -> None:
    """Refuses what is nested too deeply, and texts that no UTF-8 can hold."""
    if isinstance(value, str) and _SURROGATE.search(value):
        raise ManifestError(f"manifest key {key} has half a surrogate pair, got {shown(value)}")
    if isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise ManifestError(_TOO_DEEP)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            if isinstance(name, int):
                _check(item, f"{key}[{name}]", depth + 1)
            else:
                inner = joined(key, name)
                _check(name, inner, depth)
                _check(item, inner, depth + 1)


def shown(value: object) -> str:
    """The value as JSON, cut to fit a sentence."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def joined(key: str, name: str) -> str:
    """The key of what stands under ``name`` in the object of that key, cut to fit a sentence."""
    shown_name = name if len(name) <= _SHOWN_CHARS else f"{name[: _SHOWN_CHARS - 3]}..."
    return f"{key}.{shown_name}" if key else shown_name
