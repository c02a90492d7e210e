"""Reading the parameters of a query, and checking them."""

import dataclasses
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from cost_insights.api.reading import (
    METADATA_KEY_CHARS_MAX,
    METADATA_VALUE_CHARS_MAX,
    Checks,
)
from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.events import EventFilter
from cost_insights.identity import Organization

_VALUES_MAX = 1_000
_CHARS_MAX = 256
_PAGE_MAX = 1_000_000_000
_LIMIT_DEFAULT = 10
_LIMIT_MAX = 100
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MEMBER = re.compile(r"([a-z_]+)\[(.*)\]", re.DOTALL)


class Query:
    """The parameters of a query; their faults are collected, so that all are named at once."""

    def __init__(self, parameters: Sequence[tuple[str, str]]) -> None:
        self._parameters = parameters
        self.checks = Checks()

    def finish(self) -> None:
        """Raises InvalidRequestError if there is any fault."""
        self.checks.finish()

    def texts(self, name: str, *, values_max: int = _VALUES_MAX) -> tuple[str, ...]:
        """All values of a parameter that may be repeated."""
        values = [value for found, value in self._parameters if found == name]
        return self.checks.texts(
            f"query.{name}", values, values_max=values_max, chars_max=_CHARS_MAX
        )

    def text(self, name: str, default: str = "", *, chars_max: int = _CHARS_MAX) -> str:
        """The last value of a parameter; `default` if it is absent."""
        values = [value for found, value in self._parameters if found == name]
        if not values:
            return default
        return self.checks.text(f"query.{name}", values[-1], chars_max=chars_max)

    def required(self, name: str) -> str:
        """The value of a required parameter."""
        value = self.text(name)
        if not value:
            self.fault(name, "FIELD_REQUIRED", f"{name} is absent or empty; it is required")
        return value

    def one_of(self, name: str, allowed: Sequence[str], default: str) -> str:
        """The value of a parameter with a fixed set of values."""
        value = self.text(name, default)
        if value not in allowed:
            self.unknown(name, value, allowed)
        return value

    def flag(self, name: str) -> bool:
        """The value of a parameter that is true or false, and false if it is absent."""
        return self.one_of(name, ("true", "false", "1", "0"), "false") in {"true", "1"}

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """The value of a parameter that is a whole number."""
        value = self.text(name)
        if not value:
            return default
        # Python refuses to parse a number of thousands of digits.
        if not re.fullmatch(r"[0-9]{1,18}", value, re.ASCII) or not least <= int(value) <= most:
            self.fault(
                name,
                "NUMBER_OUT_OF_RANGE",
                f"{value[:64]!r} is not a whole number from {least} to {most}",
                value,
            )
            return default
        return int(value)

    def page(self) -> int:
        """The number of the page, from 1 on."""
        return self.number("page", 1, least=1, most=_PAGE_MAX)

    def limit(self) -> int:
        """The number of items of a page. More than 100 are 100, without a fault: that is
        what the SDKs of the API count on."""
        return min(self.number("limit", _LIMIT_DEFAULT, least=1, most=_PAGE_MAX), _LIMIT_MAX)

    def time_us(self, name: str) -> int | None:
        """A time with its offset, in microseconds since 1970; None if it is absent."""
        value = self.text(name)
        if not value:
            return None
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fault(
                name,
                "TEXT_MALFORMED",
                f"{value[:64]!r} is not a time with an offset, such as 2026-11-23T10:00:00Z",
                value,
            )
            return None
        return (moment - _EPOCH) // datetime.timedelta(microseconds=1)

    def members(self, name: str, *, members_max: int) -> dict[str, tuple[str, ...]]:
        """The values by key of a parameter that is an object, written `name[key]=value`."""
        members: dict[str, list[str]] = {}
        values = 0
        for found, value in self._parameters:
            match = _MEMBER.fullmatch(found)
            if match is not None and match[1] == name:
                values += 1
                if values <= members_max:
                    members.setdefault(match[2], []).append(value)
        self.checks.values(f"query.{name}", range(values), values_max=members_max)
        for key in members:
            self.checks.text(f"query.{name}", key, chars_max=METADATA_KEY_CHARS_MAX)
        return {
            key: self.checks.texts(
                f"query.{name}.{key}",
                found,
                values_max=members_max,
                chars_max=METADATA_VALUE_CHARS_MAX,
            )
            for key, found in members.items()
        }

    def some_of(self, name: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """The values of a parameter with a fixed set of values."""
        values = self.texts(name)
        for value in values:
            if value not in allowed:
                self.unknown(name, value, allowed)
        return values

    def unknown(self, name: str, value: str, allowed: Sequence[str]) -> None:
        """Adds the fault of a value that is not one of those allowed."""
        shown = ", ".join(allowed)
        self.fault(
            name,
            "VALUE_UNKNOWN",
            f"{value[:64]!r} is not a value of {name}; allowed are {shown}",
            value,
        )

    def customers(self) -> EventFilter:
        """The events of the customers that a query names."""
        return EventFilter(
            customer_ids=self.texts("customer_id"),
            external_customer_ids=self.texts("external_customer_id"),
        )

    def leaves_out_events(self) -> bool:
        """Whether `source` chooses nothing but system events, of which no event is stored: they
        are recorded as revenue."""
        sources = self.some_of("source", ("user", "system"))
        return bool(sources) and "user" not in sources

    def check_organization(self, organization: Organization) -> None:
        """Refuses any organization but the one of the access token."""
        for value in self.texts("organization_id"):
            if value.lower() != str(organization.id):
                self.fault(
                    "organization_id",
                    "VALUE_UNKNOWN",
                    f"{value[:64]!r} is not the organization of the access token; leave "
                    "organization_id out",
                    value,
                )

    def fault(self, name: str, reason: str, message: str, value: str = "") -> None:
        """Adds a fault of a parameter."""
        self.checks.faults.append(FieldFault(f"query.{name}", reason, message, value[:64]))


@contextmanager
def in_query(names: Mapping[str, str] = {}) -> Iterator[None]:
    """Turns the faults of fields into faults of parameters: of those of the same names, or of
    those that `names` says."""
    try:
        yield
    except InvalidRequestError as error:
        faults = [
            dataclasses.replace(one, path=f"query.{names.get(one.path, one.path)}")
            for one in error.faults
        ]
        raise InvalidRequestError(faults) from None
