"""JSON without its traps."""

import json

from echoes_rt.errors import ManifestError

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
