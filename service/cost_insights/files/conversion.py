"""Converting documents of a file to the documented form, as options say.

A file may have names of its own, numbers as times, or amounts in dollars. An option says each of
these; nothing is guessed, and everything is exact.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from cost_insights.files.csv_records import place_of
from cost_insights.files.ndjson import FaultFoundError, Number

EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (what is counted from it is UTC)
SECONDS_END: Final = 10**11
"""Numbers below are seconds, in the years until 5138, and others are milliseconds, in the years
from 1973 on: whoever mistakes one for the other is told."""


class Timestamps(StrEnum):
    """The format of times."""

    TEXT = "text"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


class Unit(StrEnum):
    """The unit of amounts."""

    CENTS = "cents"
    DOLLARS = "dollars"


@dataclass(frozen=True)
class Conversion:
    """The options for a file."""

    names: Mapping[str, str] = field(default_factory=dict)
    """The column or field that stands for each name of the file."""
    timestamps: Timestamps = Timestamps.TEXT
    unit: Unit = Unit.CENTS

    def document(self, document: dict[str, Any]) -> None:
        """Converts a document with the file's own names to the documented form."""
        for name, target in self.names.items():
            if (value := document.pop(name, None)) is not None:
                _put(document, name, target, value)
        self.values(document)

    def values(self, document: dict[str, Any]) -> None:
        """Converts the values of a document with documented names to the documented form."""
        if self.timestamps is not Timestamps.TEXT and type(document.get("timestamp")) in _TEXTS:
            document["timestamp"] = _time(document["timestamp"], self.timestamps)
        if self.unit is Unit.DOLLARS:
            metadata = document.get("metadata")
            costs = [
                document.get("cost"),
                metadata.get("_cost") if type(metadata) is dict else None,
            ]
            for cost in costs:
                if type(cost) is dict and type(cost.get("amount")) in _TEXTS:
                    cost["amount"] = _cents(cost["amount"])


_TEXTS: Final = (str, Number)


def _put(document: dict[str, Any], name: str, target: str, value: Any) -> None:
    group, key = place_of(target) or ("", target)
    if group == "cost" and key == "amount" and type(value) is dict:
        group, key = "", "cost"
    place = document.setdefault(group, {}) if group else document
    if type(place) is not dict or key in place:
        raise FaultFoundError(
            name, "FIELDS_CONFLICT", f"is mapped to {target}, which is also given"
        )
    place[key] = value
    if group == "cost":
        place.setdefault("currency", "usd")


def _time(text: str, timestamps: Timestamps) -> str:
    """The time that a number stands for; any other value is returned as it is."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return text
    is_seconds = timestamps is Timestamps.SECONDS
    if not number.is_finite() or number < 0 or number.adjusted() > 18:
        raise _no_time(text, f"is not a number of {timestamps} since 1970")
    if (number < SECONDS_END) is not is_seconds:
        other = Timestamps.MILLISECONDS if is_seconds else Timestamps.SECONDS
        raise _no_time(text, f"looks like {other} and not {timestamps} since 1970")
    nanos = number.scaleb(9 if is_seconds else 6)
    if nanos != int(nanos):
        raise _no_time(text, "has parts of a nanosecond")
    whole, rest = divmod(int(nanos), 10**9)
    try:
        moment = EPOCH + dt.timedelta(seconds=whole)
    except OverflowError:
        raise _no_time(text, "is later than the year 9999") from None
    return f"{moment.isoformat()}.{rest:09}Z"


def _no_time(text: str, why: str) -> FaultFoundError:
    return FaultFoundError("timestamp", "MALFORMED_REQUEST", f"{text[:64]} {why}", text)


def _cents(dollars: str) -> str:
    """A hundred times the amount, digit by digit; a value that is not a number stays as it is."""
    try:
        sign, digits, exponent = Decimal(dollars.strip()).as_tuple()
    except InvalidOperation:
        return dollars
    if not isinstance(exponent, int):
        return dollars
    return type(dollars)(Decimal((sign, digits, exponent + 2)))
