"""The rules of ``manifest.schema.json``, applied to values: every refusal names what is allowed."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from numbers import Real
from typing import Any

from echoes_rt.format.json_fields import joined, shown

Rule = Mapping[str, Any]


class BrokenRuleError(ValueError):
    """A value that the schema refuses; ``key`` is its path, such as ``graphs.vocoder.file``."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key} {problem}")
        self.key = key
        self.problem = problem


@cache
def schema() -> Rule:
    """The schema as parsed JSON."""
    text = resources.files("echoes_rt.format").joinpath("manifest.schema.json").read_text("utf-8")
    rule: Rule = json.loads(text)
    return rule


def rule_of(*path: str) -> Rule:
    """The rule of one key, such as ``rule_of("sampling", "steps")``."""
    rule = schema()
    for name in path:
        rule = _resolved(rule["properties"][name])
    return rule


def check(value: Any, rule: Rule, key: str = "") -> Any:
    """The value, with every number of the type that its rule asks for.

    Keys of objects that no rule knows are left out. Understands the part of JSON Schema that the
    file uses: const, enum, type, minimum, maximum, pattern, items, minItems, maxItems, uniqueItems,
    required, properties, propertyNames, additionalProperties, $ref.

    Raises:
        BrokenRuleError: for the first value that is refused.
    """
    rule = _resolved(rule)
    if "const" in rule:
        rule = {"enum": [rule["const"]]}
    if "enum" in rule:
        if isinstance(value, bool) or value not in rule["enum"]:
            raise _wrong(key, value, "one of " + ", ".join(map(str, rule["enum"])))
        return value
    return _CHECKS[rule["type"]](value, rule, key)


def _resolved(rule: Rule) -> Rule:
    reference = rule.get("$ref")
    if reference is None:
        return rule
    resolved: Rule = schema()["$defs"][reference.removeprefix("#/$defs/")]
    return resolved


def _wrong(key: str, value: object, allowed: str) -> BrokenRuleError:
    return BrokenRuleError(key, f"must be {allowed}, got {shown(value)}")


def _number(value: Any, rule: Rule, key: str) -> float | int:
    low, high, is_whole = rule["minimum"], rule["maximum"], rule["type"] == "integer"
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    # As in JSON itself, 4.0 is a whole number; NaN is in no range.
    if not is_number or not low <= value <= high or (is_whole and value != int(value)):
        kind = "a whole number" if is_whole else "a number"
        raise _wrong(key, value, f"{kind} in [{low:g}, {high:.15g}]")
    return int(value) if is_whole else float(value)


def _string(value: Any, rule: Rule, key: str) -> str:
    # JSON Schema's $ is the end of the text; Python's also stands before a last line break.
    pattern = rule["pattern"].removeprefix("^").removesuffix("$")
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise _wrong(key, value, rule["description"])
    return value


def _array(value: Any, rule: Rule, key: str) -> list[Any]:
    low, high = rule["minItems"], rule["maxItems"]
    if not isinstance(value, list | tuple) or not low <= len(value) <= high:
        raise _wrong(key, value, f"an array of {low} to {high} items")
    items = [check(item, rule["items"], f"{key}[{i}]") for i, item in enumerate(value)]
    if rule.get("uniqueItems") and len(set(items)) < len(items):
        raise _wrong(key, value, "an array without repeats")
    return items


def _object(value: Any, rule: Rule, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(key, value, "an object")
    for name in rule["required"]:
        if name not in value:
            raise BrokenRuleError(joined(key, name), "is missing")
    rules = rule.get("properties", {})
    if "additionalProperties" in rule:
        for name in value:
            check(name, rule["propertyNames"], key)
        rules = dict.fromkeys(value, rule["additionalProperties"])
    return {
        name: check(value[name], part, joined(key, name))
        for name, part in rules.items()
        if name in value
    }


_CHECKS = {
    "integer": _number,
    "number": _number,
    "string": _string,
    "array": _array,
    "object": _object,
}
