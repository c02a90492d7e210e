"""Reading a system event: the values in its metadata, or their faults."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from google.protobuf import struct_pb2, timestamp_pb2

from cost_insights.amounts import (
    AMOUNT_CENTS_MAX,
    ONE_E12,
    AmountError,
    format_amount,
    parse_amount,
    parse_money,
    round_float,
)
from cost_insights.api.reading import PRODUCT_CHARS_MAX, Checks
from cost_insights.api.revenue_records import Item, shown
from cost_insights.api.times import timestamp_of
from cost_insights.v1 import event_pb2

ID_CHARS_MAX: Final = 256

_USD: Final = "usd"
_WHOLE_MAX: Final = 2**53
"""The greatest whole number that a double represents exactly as it was sent."""


class EventItem(Item):
    """A system event: reads its metadata and collects the faults in it.

    Null in metadata means the same as an absent key.
    """

    def __init__(
        self, checks: Checks, index: int, event: event_pb2.NewEvent, latest_us: int
    ) -> None:
        super().__init__(checks, f"events[{index}]", event, latest_us)
        self.event = event
        self._amounts: dict[str, int | None] = {}
        self.happened_us = self.required_past_us("timestamp")
        if event.HasField("cost") or "_cost" in event.metadata.fields:
            self._fault(
                "name",
                "NAME_RESERVED",
                f'the name "{event.name}" is reserved for system events, which carry no cost',
                event.name,
            )

    def said_text(self, key: str, *, chars_max: int = ID_CHARS_MAX) -> str:
        """A text; empty if absent."""
        value = self._value(key)
        if value is None:
            return ""
        if value.WhichOneof("kind") != "string_value":
            self._wrong_type(key, value, "text")
            return ""
        return self._checks.text(
            f"{self._path}.metadata.{key}", value.string_value, chars_max=chars_max
        )

    def required_said_text(self, key: str, *, chars_max: int = ID_CHARS_MAX) -> str:
        """A required text."""
        self.require(key)
        return self.said_text(key, chars_max=chars_max)

    def require(self, *keys: str) -> None:
        """Adds a fault for each key that is absent or empty."""
        for key in keys:
            value = self._value(key)
            if value is None or value == struct_pb2.Value(string_value=""):
                self._required(f"metadata.{key}")

    def product_id(self) -> str:
        """The product, named by the event or in its metadata."""
        said = self.said_text("product_id", chars_max=PRODUCT_CHARS_MAX)
        field = self.text("product_id", chars_max=PRODUCT_CHARS_MAX)
        if said and field:
            other = f"{self._path}.product_id"
            self._fault(
                "metadata.product_id",
                "FIELDS_CONFLICT",
                f"{other} is also given and means the same; only one of them is allowed",
                facts={"other": other},
            )
        return said or field

    def said_slug(self, key: str, allowed: Sequence[str]) -> str:
        """One of a few words; empty if absent."""
        text = self.said_text(key)
        if text and text not in allowed:
            words = ", ".join(allowed)
            self._fault(
                f"metadata.{key}",
                "VALUE_UNKNOWN",
                f'"{shown(text)}" is not a {key.replace("_", " ")}; allowed are {words}',
                text,
                {"allowed": words},
            )
            return ""
        return text

    def said_count(self, key: str, *, count_max: int) -> int:
        """A number of at least 1; 1 if absent."""
        value = self._value(key)
        if value is None:
            return 1
        if value.WhichOneof("kind") != "number_value":
            self._wrong_type(key, value, "number")
            return 1
        number = value.number_value
        if number not in range(1, count_max + 1):
            self._fault(
                f"metadata.{key}",
                "NUMBER_OUT_OF_RANGE",
                f"the number {_digits(number)} is not a whole number from 1 to {count_max}",
                _digits(number),
                {"min": "1", "max": str(count_max)},
            )
            return 1
        return int(number)

    def said_amount(self, key: str) -> int | None:
        """An amount of money in picocents; None if absent."""
        # Read once, so that its fault is listed once.
        if key not in self._amounts:
            self._amounts[key] = self._read_amount(key)
        return self._amounts[key]

    def earned(self) -> tuple[str, int]:
        """The key of the net amount, or else of the amount, and its value."""
        for key in ("net_amount", "amount"):
            if self._value(key) is not None:
                return key, self.said_amount(key) or 0
        self._required("metadata.amount")
        return "amount", 0

    def currency_and_rate_e12(self, *, of_presentment: bool) -> tuple[str, int]:
        """The currency of the amount that counts, and the value of one unit in usd, times 10¹².

        Without a given rate an amount in usd is worth itself, but for one that is in the
        currency presented to the customer: `of_presentment`. Of that currency one is worth
        the amount, which is in usd, over the amount presented.
        """
        currency = self.said_currency("currency")
        presented = self.said_currency("presentment_currency")
        rate = self._said_rate_e12()
        is_in_usd = currency in {_USD, ""}
        if rate is None and of_presentment and is_in_usd and presented != _USD:
            rate = self._presentment_rate_e12()
        if not is_in_usd:
            if rate is None:
                self._fault(
                    "metadata.exchange_rate",
                    "FIELD_REQUIRED",
                    "metadata.exchange_rate is absent or 0; it is required where the currency "
                    f"is not {_USD}",
                )
            return currency, rate or ONE_E12
        if rate is None or rate == ONE_E12:
            return _USD, ONE_E12
        # An amount with a rate other than 1 was not in usd, but in the currency that the customer
        # saw.
        if presented in {_USD, ""}:
            self._fault(
                "metadata.presentment_currency",
                "CURRENCY_UNSUPPORTED" if presented else "FIELD_REQUIRED",
                f"the exchange rate is {format_amount(rate)}; a presentment_currency "
                f"other than {_USD} is required where it is not 1",
                presented,
            )
        return presented, rate

    def said_time_us(self, key: str) -> int | None:
        """A time in microseconds since 1970."""
        text = self.said_text(key)
        if not text:
            return None
        moment = timestamp_pb2.Timestamp()
        try:
            moment.FromJsonString(text)
        except ValueError:
            example = "2026-11-23T12:00:00Z"
            self._fault(
                f"metadata.{key}",
                "TYPE_UNSUPPORTED",
                f'"{shown(text)}" is not a time with an offset, such as {example}',
                text,
                {"allowed": f"a time such as {example}"},
            )
            return None
        return self._checks.timestamp_us(f"{self._path}.metadata.{key}", moment)

    def said_past_us(self, key: str) -> int | None:
        """A time that must not be in the future."""
        time_us = self.said_time_us(key)
        if time_us is not None and time_us > self._latest_us:
            self._lies_ahead(f"metadata.{key}", timestamp_of(time_us))
        return time_us

    def amount_fault(self, key: str, picocents: int, cents_min: int, cents_max: int) -> None:
        """Adds the fault of an amount with the wrong sign."""
        text = format_amount(picocents)
        self._fault(
            f"metadata.{key}",
            "AMOUNT_OUT_OF_RANGE",
            f"the amount {text} of a {self.event.name} is out of range; {cents_min} to "
            f"{cents_max} cents are allowed",
            text,
            {"min": str(cents_min), "max": str(cents_max)},
        )

    def said_currency(self, key: str) -> str:
        """The 3 letters of a currency, in lower case; empty if absent."""
        text = self.said_text(key)
        return self._currency(f"metadata.{key}", text) if text else ""

    def _value(self, key: str) -> struct_pb2.Value | None:
        if key not in self.event.metadata.fields:
            return None
        value = self.event.metadata.fields[key]
        return None if value.WhichOneof("kind") in {"null_value", None} else value

    def _read_amount(self, key: str) -> int | None:
        value = self._value(key)
        if value is None:
            return None
        kind = value.WhichOneof("kind")
        try:
            if kind == "number_value":
                return _money_of(value.number_value)
            if kind == "string_value":
                return parse_money(value.string_value)
        except AmountError as error:
            self._fault(f"metadata.{key}", error.reason, str(error), error.value, error.facts)
            return None
        self._wrong_type(key, value, "number, text")
        return None

    def _said_rate_e12(self) -> int | None:
        """The given rate; None if it is absent or 0."""
        value = self._value("exchange_rate")
        if value is None:
            return None
        kind = value.WhichOneof("kind")
        if kind == "number_value":
            text = _digits(value.number_value)
        elif kind == "string_value":
            text = value.string_value
        else:
            self._wrong_type("exchange_rate", value, "number, text")
            return ONE_E12
        try:
            rate = round_float(value.number_value) if kind == "number_value" else parse_amount(text)
        except AmountError:
            rate = -1
        if rate < 0:
            self._rate_fault("metadata.exchange_rate", text)
            return ONE_E12
        return rate or None

    def _presentment_rate_e12(self) -> int | None:
        amount, presented = self.said_amount("amount"), self.said_amount("presentment_amount")
        if not amount or not presented:
            return None
        rate = round(Fraction(amount * ONE_E12, presented))
        if not 0 < rate <= AMOUNT_CENTS_MAX * ONE_E12:
            text = f"{format_amount(amount)}/{format_amount(presented)}"
            self._rate_fault("metadata.presentment_amount", text)
            return ONE_E12
        return rate

    def _wrong_type(self, key: str, value: struct_pb2.Value, allowed: str) -> None:
        name = _TYPES[value.WhichOneof("kind")]
        self._fault(
            f"metadata.{key}",
            "TYPE_UNSUPPORTED",
            f"the value has the type {name}; allowed: {allowed}",
            name,
            {"allowed": allowed},
        )


_TYPES: Mapping[str | None, str] = {
    "number_value": "number",
    "string_value": "text",
    "bool_value": "boolean",
    "struct_value": "object",
    "list_value": "list",
}


def _money_of(number: float) -> int:
    """The picocents of a double, rounded to 12 decimals if it has more."""
    if number.is_integer() and abs(number) <= _WHOLE_MAX:
        return parse_money(str(int(number)))
    if abs(number) < AMOUNT_CENTS_MAX:
        return round_float(number)
    # Doubles that large have fewer than 12 decimals.
    return parse_money(repr(number))


def _digits(number: float) -> str:
    return repr(number).removesuffix(".0")
