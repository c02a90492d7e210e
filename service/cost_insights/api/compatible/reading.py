"""Reading the parameters of a query, and checking them."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cost_insights.api.reading import Checks
from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.identity import Organization

_VALUES_MAX = 1_000
_CHARS_MAX = 256


class Query:
    """The parameters of a query; their faults are collected, so that all are named at once."""

    def __init__(self, parameters: Sequence[tuple[str, str]]) -> None:
        self._parameters = parameters
        self.checks = Checks()

    def finish(self) -> None:
        """Raises InvalidRequestError if there is any fault."""
        self.checks.finish()

    def texts(self, name: str, *, values_max: int = _VALUES_MAX) -> tuple[str, ...]:
        """All values of a parameter that may stand several times."""
        values = [value for found, value in self._parameters if found == name]
        return self.checks.texts(
            f"query.{name}", values, values_max=values_max, chars_max=_CHARS_MAX
        )

    def text(self, name: str, default: str = "", *, chars_max: int = _CHARS_MAX) -> str:
        """The value of a parameter, of which the last one counts; `default` if it is absent."""
        values = [value for found, value in self._parameters if found == name]
        if not values:
            return default
        return self.checks.text(f"query.{name}", values[-1], chars_max=chars_max)

    def required(self, name: str) -> str:
        """The value of a parameter that must be there."""
        value = self.text(name)
        if not value:
            self.fault(name, "FIELD_REQUIRED", f"{name} is absent or empty; it is required")
        return value

    def one_of(self, name: str, allowed: Sequence[str], default: str) -> str:
        """The value of a parameter that has a few values."""
        value = self.text(name, default)
        if value not in allowed:
            self.unknown(name, value, allowed)
        return value

    def some_of(self, name: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """The values of a parameter that has a few values."""
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
def in_query() -> Iterator[None]:
    """Turns the faults of fields into faults of the parameters of the same names."""
    try:
        yield
    except InvalidRequestError as error:
        faults = [dataclasses.replace(one, path=f"query.{one.path}") for one in error.faults]
        raise InvalidRequestError(faults) from None
