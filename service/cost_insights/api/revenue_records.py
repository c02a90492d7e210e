"""Turns the messages of `RevenueService` into records, or into faults."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from google.protobuf import descriptor, timestamp_pb2

from cost_insights._native.events import is_blank
from cost_insights.amounts import (
    AMOUNT_CENTS_MAX,
    MONEY_CENTS_MAX,
    ONE_E12,
    PICOCENTS_PER_CENT,
    AmountError,
    format_amount,
    parse_amount,
    parse_money,
)
from cost_insights.api.reading import CUSTOMER_CHARS_MAX, PRODUCT_CHARS_MAX, Checks
from cost_insights.api.times import timestamp_of
from cost_insights.customers import parse_uuid
from cost_insights.errors import FieldFault
from cost_insights.revenue import (
    CustomerName,
    NewCheckout,
    NewOrder,
    NewSeat,
    NewSubscription,
    Refund,
    RevenueQuestion,
    in_usd,
)
from cost_insights.v1 import revenue_pb2, revenue_service_pb2

_ITEMS_MAX: Final = 1_000
_ID_CHARS_MAX: Final = 256
_INTERVAL_COUNT_MAX: Final = 999
_FILTER_VALUES_MAX: Final = 100

_USD: Final = "usd"
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
_CURRENCIES: Final = "3 letters such as usd"

_T = TypeVar("_T")


def new_orders(
    request: revenue_service_pb2.RecordOrdersRequest, *, latest_us: int
) -> list[NewOrder]:
    """The orders of a request; raises InvalidRequestError if any is malformed.

    `latest_us` is the latest time that is not in the future.
    """
    return _read("orders", request.orders, latest_us, _new_order)


def new_refunds(
    request: revenue_service_pb2.RecordRefundsRequest, *, latest_us: int
) -> list[Refund]:
    """The refunds of a request, read like `new_orders`."""
    return _read("refunds", request.refunds, latest_us, _new_refund)


def new_subscriptions(
    request: revenue_service_pb2.RecordSubscriptionsRequest, *, latest_us: int
) -> list[NewSubscription]:
    """The subscriptions of a request, read like `new_orders`."""
    return _read("subscriptions", request.subscriptions, latest_us, _new_subscription)


def new_checkouts(
    request: revenue_service_pb2.RecordCheckoutsRequest, *, latest_us: int
) -> list[NewCheckout]:
    """The checkouts of a request, read like `new_orders`."""
    return _read("checkouts", request.checkouts, latest_us, _new_checkout)


def new_seats(request: revenue_service_pb2.RecordSeatsRequest, *, latest_us: int) -> list[NewSeat]:
    """The seats of a request, read like `new_orders`."""
    return _read("seats", request.seats, latest_us, _new_seat)


def revenue_question(checks: Checks, request: Any) -> RevenueQuestion:
    """The question of a request that lists records."""

    def texts(field: str, chars_max: int) -> tuple[str, ...]:
        values = getattr(request, field)
        return checks.texts(field, values, values_max=_FILTER_VALUES_MAX, chars_max=chars_max)

    def time_us(field: str) -> int | None:
        if not request.HasField(field):
            return None
        return checks.timestamp_us(field, getattr(request, field))

    return RevenueQuestion(
        customer_ids=texts("customer_ids", CUSTOMER_CHARS_MAX),
        external_customer_ids=texts("external_customer_ids", CUSTOMER_CHARS_MAX),
        product_ids=texts("product_ids", PRODUCT_CHARS_MAX),
        start_us=time_us("start_time"),
        end_us=time_us("end_time"),
    )


def slug_prefix(enum: descriptor.EnumDescriptor) -> str:
    """The prefix of each value's name, such as `BILLING_TYPE_`."""
    return enum.values[0].name.removesuffix("UNSPECIFIED")


class Item:
    """One item of a request: reads its fields and collects their faults.

    The value that replaces a wrong field is never stored, because the request is refused.
    """

    def __init__(self, checks: Checks, path: str, message: Any, latest_us: int) -> None:
        self._checks = checks
        self._path = path
        self._message = message
        self._latest_us = latest_us

    def customer(self) -> CustomerName:
        """The customer of the item."""
        customer = self.optional_customer()
        if customer is None:
            self._one_required("external_customer_id", "customer_id")
            return ""
        return customer

    def optional_customer(self) -> CustomerName | None:
        """The customer of the item; None if absent."""
        field = self._message.WhichOneof("customer")
        if field is None:
            return None
        text = self.required_text(field, chars_max=CUSTOMER_CHARS_MAX)
        if field == "customer_id" and (customer_id := parse_uuid(text)) is not None:
            return customer_id
        return text

    def purchase(self) -> tuple[str, str]:
        """The subscription and the order of the item, one of which is empty."""
        field = self._message.WhichOneof("purchase")
        if field is None:
            self._one_required("subscription_id", "order_id")
            return "", ""
        text = self.required_text(field)
        return (text, "") if field == "subscription_id" else ("", text)

    def required_text(self, field: str, *, chars_max: int = _ID_CHARS_MAX) -> str:
        """A required text."""
        text: str = getattr(self._message, field)
        if not text:
            self._required(field)
        elif is_blank(text):
            self._fault(
                field,
                "FIELD_REQUIRED",
                f"{field} has no visible character; at least 1 is required",
                text,
            )
        return self.text(field, chars_max=chars_max)

    def text(self, field: str, *, chars_max: int = _ID_CHARS_MAX) -> str:
        """A text; empty if absent."""
        text: str = getattr(self._message, field)
        return self._checks.text(f"{self._path}.{field}", text, chars_max=chars_max)

    def required_slug(self, field: str) -> str:
        """The slug of a required enum value."""
        if not getattr(self._message, field):
            self._required(field)
        return self.slug(field)

    def slug(self, field: str) -> str:
        """The slug of an enum value; empty if unspecified."""
        number: int = getattr(self._message, field)
        enum = self._message.DESCRIPTOR.fields_by_name[field].enum_type
        if number not in enum.values_by_number:
            what = f"not a {field.replace('_', ' ')}"
            self._checks.unknown_number(f"{self._path}.{field}", number, what, enum)
            return ""
        name: str = enum.values_by_number[number].name
        return name.removeprefix(slug_prefix(enum)).lower() if number else ""

    def count(self, field: str, *, count_max: int) -> int:
        """A number of at least 1; 1 if absent."""
        number: int = getattr(self._message, field)
        if not 0 <= number <= count_max:
            self._fault(
                field,
                "NUMBER_OUT_OF_RANGE",
                f"the number {number} is not from 0 to {count_max}",
                str(number),
                {"min": "0", "max": str(count_max)},
            )
        return number or 1

    def money(self, field: str, *, negative: bool) -> tuple[int, str]:
        """An amount in picocents and its currency; the currency is empty if it is wrong."""
        if not self._message.HasField(field):
            self._required(field)
            return 0, ""
        money: revenue_pb2.Money = getattr(self._message, field)
        if not money.amount:
            self._required(f"{field}.amount")
        amount = self._amount(f"{field}.amount", money.amount)
        if amount < 0 and not negative:
            self._amount_out_of_range(
                f"{field}.amount", f"the amount {money.amount} is negative", money.amount, 0
            )
        return amount, self._currency(f"{field}.currency", money.currency)

    def amount(self, field: str) -> int:
        """An amount in picocents; 0 if absent."""
        return self._amount(field, getattr(self._message, field))

    def exchange_rate_e12(self, currency: str) -> int:
        """The value in usd of one unit of the currency, times 10¹²."""
        text: str = self._message.exchange_rate
        if not text:
            if currency not in {_USD, ""}:
                self._fault(
                    "exchange_rate",
                    "FIELD_REQUIRED",
                    "exchange_rate is absent or empty; it is required where the currency is not "
                    f"{_USD}",
                )
            return ONE_E12
        try:
            rate = parse_amount(text)
        except AmountError:
            rate = 0
        if rate <= 0:
            self._rate_fault("exchange_rate", text)
            return ONE_E12
        if currency == _USD and rate != ONE_E12:
            self._fault(
                "exchange_rate",
                "NUMBER_OUT_OF_RANGE",
                f"the exchange rate {text} of {_USD} is not allowed; it must be 1",
                text,
                {"min": "1", "max": "1"},
            )
        return rate

    def check_in_usd(self, field: str, picocents: int, exchange_rate_e12: int) -> None:
        """Adds a fault if an amount is in range, but its value in usd is not."""
        in_usd_picocents = in_usd(picocents, exchange_rate_e12)
        if abs(in_usd_picocents) > MONEY_CENTS_MAX * PICOCENTS_PER_CENT:
            text = format_amount(picocents)
            self._amount_out_of_range(
                field,
                f"the amount {text} is {format_amount(in_usd_picocents)} in {_USD}",
                text,
                -MONEY_CENTS_MAX,
            )

    def past_us(self, field: str) -> int | None:
        """A time that must not be in the future, in microseconds since 1970."""
        time_us = self.time_us(field)
        if time_us is not None and time_us > self._latest_us:
            self._lies_ahead(field, getattr(self._message, field))
        return time_us

    def required_past_us(self, field: str) -> int:
        """A required time that must not be in the future."""
        return self._present(field, self.past_us(field))

    def time_us(self, field: str) -> int | None:
        """A time in microseconds since 1970."""
        if not self._message.HasField(field):
            return None
        return self._checks.timestamp_us(f"{self._path}.{field}", getattr(self._message, field))

    def required_time_us(self, field: str) -> int:
        """A required time."""
        return self._present(field, self.time_us(field))

    def _present(self, field: str, time_us: int | None) -> int:
        if time_us is None:
            self._required(field)
            return 0
        return time_us

    def _amount(self, field: str, text: str) -> int:
        if not text:
            return 0
        try:
            return parse_money(text)
        except AmountError as error:
            self._fault(field, error.reason, str(error), error.value, error.facts)
            return 0

    def _currency(self, field: str, currency: str) -> str:
        if not currency:
            self._required(field)
            return ""
        if not _CURRENCY.fullmatch(currency):
            self._fault(
                field,
                "CURRENCY_UNSUPPORTED",
                f'the currency "{shown(currency)}" is not supported; only {_CURRENCIES} '
                "are allowed",
                currency,
                {"allowed": _CURRENCIES},
            )
            return ""
        return currency.lower()

    def _amount_out_of_range(self, field: str, what: str, value: str, cents_min: int) -> None:
        cents_max = MONEY_CENTS_MAX
        self._fault(
            field,
            "AMOUNT_OUT_OF_RANGE",
            f"{what}; {cents_min} to {cents_max} cents are allowed",
            value,
            {"min": str(cents_min), "max": str(cents_max)},
        )

    def _rate_fault(self, field: str, text: str) -> None:
        rate_min, rate_max = format_amount(1), str(AMOUNT_CENTS_MAX)
        self._fault(
            field,
            "NUMBER_OUT_OF_RANGE",
            f'the exchange rate "{shown(text)}" is not allowed; it must be a decimal number '
            f"from {rate_min} to {rate_max} of at most 17 digits",
            text,
            {"min": rate_min, "max": rate_max},
        )

    def _lies_ahead(self, field: str, moment: timestamp_pb2.Timestamp) -> None:
        found = moment.ToJsonString()
        latest = timestamp_of(self._latest_us).ToJsonString()
        self._fault(
            field,
            "TIMESTAMP_IN_FUTURE",
            f"the time {found} is in the future; at most {latest} is allowed",
            found,
            {"max": latest},
        )

    def _one_required(self, field: str, other: str) -> None:
        self._fault(
            field,
            "FIELD_REQUIRED",
            f"{field} and {other} are both absent; one of them is required",
        )

    def _required(self, field: str) -> None:
        self._fault(field, "FIELD_REQUIRED", f"{field} is absent or empty; it is required")

    def _fault(
        self,
        field: str,
        reason: str,
        message: str,
        value: str = "",
        facts: dict[str, str] | None = None,
    ) -> None:
        path = f"{self._path}.{field}"
        self._checks.faults.append(FieldFault(path, reason, message, shown(value), facts or {}))


def _read(
    path: str, messages: Sequence[Any], latest_us: int, read: Callable[[Item], _T]
) -> list[_T]:
    checks = Checks()
    records = [
        read(Item(checks, f"{path}[{index}]", message, latest_us))
        for index, message in enumerate(checks.values(path, messages, values_max=_ITEMS_MAX))
    ]
    checks.finish()
    return records


def shown(text: str) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= 64 else text[:63] + "…"


def _new_order(item: Item) -> NewOrder:
    net_picocents, currency = item.money("net_amount", negative=True)
    applied_balance_picocents = item.amount("applied_balance")
    exchange_rate_e12 = item.exchange_rate_e12(currency)
    item.check_in_usd("net_amount.amount", net_picocents, exchange_rate_e12)
    item.check_in_usd("applied_balance", applied_balance_picocents, exchange_rate_e12)
    created_us = item.required_past_us("created_time")
    paid_us = item.past_us("paid_time")
    return NewOrder(
        order_id=item.required_text("order_id"),
        customer=item.customer(),
        product_id=item.text("product_id", chars_max=PRODUCT_CHARS_MAX),
        billing_type=item.required_slug("billing_type"),
        subscription_id=item.text("subscription_id"),
        currency=currency,
        exchange_rate_e12=exchange_rate_e12,
        net_picocents=net_picocents,
        applied_balance_picocents=applied_balance_picocents,
        fee_picocents=item.amount("fee"),
        created_us=created_us,
        paid_us=created_us if paid_us is None else paid_us,
    )


def _new_refund(item: Item) -> Refund:
    amount_picocents, currency = item.money("amount", negative=False)
    exchange_rate_e12 = item.exchange_rate_e12(currency)
    item.check_in_usd("amount.amount", amount_picocents, exchange_rate_e12)
    return Refund(
        refund_id=item.required_text("refund_id"),
        kind=item.required_slug("kind"),
        order_id=item.required_text("order_id"),
        currency=currency,
        exchange_rate_e12=exchange_rate_e12,
        amount_picocents=amount_picocents,
        fee_picocents=item.amount("fee"),
        created_us=item.required_past_us("created_time"),
    )


def _new_subscription(item: Item) -> NewSubscription:
    amount_picocents, currency = item.money("amount", negative=False)
    return NewSubscription(
        subscription_id=item.required_text("subscription_id"),
        customer=item.customer(),
        product_id=item.text("product_id", chars_max=PRODUCT_CHARS_MAX),
        currency=currency,
        amount_picocents=amount_picocents,
        recurring_interval=item.required_slug("recurring_interval"),
        recurring_interval_count=item.count(
            "recurring_interval_count", count_max=_INTERVAL_COUNT_MAX
        ),
        started_us=item.required_time_us("started_time"),
        trial_end_us=item.time_us("trial_end_time"),
        canceled_us=item.past_us("canceled_time"),
        cancel_reason=item.slug("cancel_reason"),
        uncanceled_us=item.past_us("uncanceled_time"),
        ends_us=item.time_us("ends_time"),
        ended_us=item.past_us("ended_time"),
        update_us=item.required_past_us("update_time"),
    )


def _new_checkout(item: Item) -> NewCheckout:
    return NewCheckout(
        checkout_id=item.required_text("checkout_id"),
        customer=item.optional_customer(),
        product_id=item.text("product_id", chars_max=PRODUCT_CHARS_MAX),
        billing_type=item.slug("billing_type"),
        status=item.required_slug("status"),
        created_us=item.required_past_us("created_time"),
        opened_us=item.past_us("opened_time"),
        update_us=item.required_past_us("update_time"),
    )


def _new_seat(item: Item) -> NewSeat:
    seat_id = item.required_text("seat_id")
    customer = item.customer()
    subscription_id, order_id = item.purchase()
    return NewSeat(
        seat_id=seat_id,
        customer=customer,
        subscription_id=subscription_id,
        order_id=order_id,
        product_id=item.text("product_id", chars_max=PRODUCT_CHARS_MAX),
        created_us=item.required_past_us("created_time"),
        claimed_us=item.past_us("claimed_time"),
        revoked_us=item.past_us("revoked_time"),
        update_us=item.required_past_us("update_time"),
    )
