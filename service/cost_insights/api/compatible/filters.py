"""Reading the `filter` of a query: JSON of clauses that are joined by and and or."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cost_insights.api.compatible.reading import Query
from cost_insights.events import ALWAYS, AllOf, AnyOf, Comparison, Condition, Operator

CLAUSES_MAX: Final = 100
"""The greatest number of clauses of a filter, at all depths together."""

DEPTH_MAX: Final = 10
"""The greatest depth of nested filters."""

_JSON_CHARS_MAX: Final = 16_384
_PROPERTY_CHARS_MAX: Final = 256
_VALUE_CHARS_MAX: Final = 1_000
_INT32_MAX: Final = 2**31 - 1
_CONJUNCTIONS: Final = ("and", "or")
_OPERATORS: Final = tuple(one.value for one in Operator)


def read_filter(query: Query) -> Condition:
    """The condition of the parameter `filter`; one that always holds if it is absent."""
    text = query.text("filter", chars_max=_JSON_CHARS_MAX)
    if not text:
        return ALWAYS
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        query.fault("filter", "TEXT_MALFORMED", "the filter is not valid JSON", text)
        return ALWAYS
    return _Reading(query).filter(content, "filter", depth=1)


class _Reading:
    """Reads one filter, and adds its faults to those of the query."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._clauses = 0

    def filter(self, content: Any, path: str, *, depth: int) -> Condition:
        if not isinstance(content, Mapping):
            self._malformed(
                path, content, 'an object such as {"conjunction": "and", "clauses": []}'
            )
            return ALWAYS
        if depth > DEPTH_MAX:
            message = f"filters are nested deeper than {DEPTH_MAX} levels"
            self._query.fault(path, "TOO_MANY_VALUES", message)
            return ALWAYS
        conjunction, clauses = content.get("conjunction"), content.get("clauses")
        if conjunction not in _CONJUNCTIONS:
            self._malformed(f"{path}.conjunction", conjunction, "one of and, or")
        if not isinstance(clauses, list):
            self._malformed(f"{path}.clauses", clauses, "an array")
            return ALWAYS
        members = self._members(clauses, path, depth=depth)
        return AllOf(members) if conjunction == "and" else AnyOf(members)

    def _members(self, clauses: Sequence[Any], path: str, *, depth: int) -> tuple[Condition, ...]:
        before = self._clauses
        self._clauses += len(clauses)
        if self._clauses > CLAUSES_MAX:
            if before <= CLAUSES_MAX:
                message = f"the filter has more than {CLAUSES_MAX} clauses"
                self._query.fault(path, "TOO_MANY_VALUES", message, str(self._clauses))
            return ()
        return tuple(
            self.filter(one, f"{path}.clauses[{place}]", depth=depth + 1)
            if isinstance(one, Mapping) and "clauses" in one
            else self._clause(one, f"{path}.clauses[{place}]")
            for place, one in enumerate(clauses)
        )

    def _clause(self, content: Any, path: str) -> Condition:
        if not isinstance(content, Mapping):
            self._malformed(path, content, "an object with property, operator and value")
            return ALWAYS
        name: Any = content.get("property")
        operator: Any = content.get("operator")
        value: Any = content.get("value")
        sound = True
        if not isinstance(name, str) or not name:
            sound = self._malformed(f"{path}.property", name, "a text that is not empty")
        else:
            sound = self._is_text(f"{path}.property", name, _PROPERTY_CHARS_MAX)
        if not isinstance(operator, str) or operator not in _OPERATORS:
            sound = self._malformed(f"{path}.operator", operator, f"one of {', '.join(_OPERATORS)}")
        if isinstance(value, str):
            sound = self._is_text(f"{path}.value", value, _VALUE_CHARS_MAX) and sound
        elif not isinstance(value, int) or not -_INT32_MAX - 1 <= value <= _INT32_MAX:
            sound = self._malformed(
                f"{path}.value", value, "a text, a whole number of 32 bits, true or false"
            )
        return Comparison(name, Operator(operator), value) if sound else ALWAYS

    def _is_text(self, path: str, text: str, chars_max: int) -> bool:
        faults = len(self._query.checks.faults)
        if any("\ud800" <= one <= "\udfff" for one in text):
            shown = json.dumps(text)[:64]
            message = f"{shown} holds half a surrogate pair, which is no character"
            self._query.fault(path, "TEXT_MALFORMED", message, shown)
        else:
            self._query.checks.text(f"query.{path}", text, chars_max=chars_max)
        return len(self._query.checks.faults) == faults

    def _malformed(self, path: str, found: Any, allowed: str) -> bool:
        shown = json.dumps(found)[:64]
        self._query.fault(path, "TEXT_MALFORMED", f"{shown} is not {allowed}", shown)
        return False
