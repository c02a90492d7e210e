"""The filter of the compatible API in plain Python, as slow as it is simple."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Value = str | int | float | bool | None


def holds(condition: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether a filter, or a clause of it, holds for an event as the API shows it."""
    if "clauses" in condition:
        members = [holds(one, event) for one in condition["clauses"]]
        if condition["conjunction"] == "and":
            return all(members)
        return any(members) or not members
    return compares(
        _property(event, condition["property"]), condition["operator"], condition["value"]
    )


def _property(event: Mapping[str, Any], name: str) -> Value | Decimal:
    if name in {"name", "source"}:
        value: Value = event[name]
        return value
    if name == "timestamp":
        return Decimal(event["timestamp_us"]) / 10**6
    name = name.removeprefix("metadata.")
    metadata = event["metadata"]
    for special in ("_cost", "_llm"):
        if name.startswith(f"{special}."):
            found = metadata.get(special, {}).get(name.removeprefix(f"{special}."))
            return Decimal(found) if name == "_cost.amount" and found is not None else found
    found = metadata.get(name)
    return found if not isinstance(found, dict) else None


def compares(stored: Value | Decimal, operator: str, asked: str | int | bool) -> bool:
    """Whether a stored value, None if there is none, compares with a value as it should."""
    if stored is None:
        return False
    if operator in {"like", "not_like"}:
        text = str(asked).lower() if isinstance(asked, bool) else str(asked)
        found = isinstance(stored, str) and text in stored
        return found is (operator == "like")
    match stored:
        case bool():
            wanted: Any = {"true": True, "false": False}.get(str(asked), asked)
            equal = isinstance(wanted, bool) and wanted is stored
            return equal if operator == "eq" else operator == "ne" and not equal
        case str():
            if not isinstance(asked, str):
                return operator == "ne"
            return _ordered(stored, operator, asked)
    number = _number(asked)
    if number is None:
        return operator == "ne"
    if isinstance(stored, Decimal):
        return _ordered(stored, operator, number)
    return _ordered(float(stored), operator, float(number))


def _number(asked: str | int | bool) -> Decimal | None:
    if isinstance(asked, bool) or str(asked) != str(asked).strip() or "_" in str(asked):
        return None
    try:
        number = Decimal(asked)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _ordered(left: Any, operator: str, right: Any) -> bool:
    return bool(
        {
            "eq": left == right,
            "ne": left != right,
            "gt": left > right,
            "gte": left >= right,
            "lt": left < right,
            "lte": left <= right,
        }[operator]
    )
