"""Every metric against numbers worked out by hand: of the slow twin, and of the service.

A vector holds facts, a question and the answer. `formulas.jsonl` has of each metric the
numbers of the periods, a bar, and the total; `groups.jsonl` has of each group the totals.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.reference.costs import Event, Tokens
from tests.reference.metrics import METRICS, Filters, Group, Metrics, Unattributed
from tests.reference.revenue import Checkout, Facts, Order, Refund, Seat, Subscription
from tests.support.facts import (
    Question,
    numbers_of,
    record,
    record_orders,
    record_subscriptions,
    sent,
    sent_order,
    sent_subscription,
)
from tests.support.service import Caller
from tests.support.vectors import vectors

Vector = Mapping[str, Any]

TIMES = {
    *("timestamp", "created", "paid"),
    *("started", "trial_end", "canceled", "uncanceled", "ends", "ended"),
    *("opened", "claimed", "revoked"),
}
QUESTION_FIELDS = ("zone", "metrics", "group_by", "order_by", "groups_max")
AMOUNTS = {"cents", "exchange_rate", "applied_balance", "fee"}

NAMED_FACTS = {one.values[0]["name"]: one.values[0] for one in vectors("facts.jsonl")}
"""The facts that several vectors name."""

each_formula = pytest.mark.parametrize("case", vectors("formulas.jsonl"))
each_grouping = pytest.mark.parametrize("case", vectors("groups.jsonl"))


def at(text: str) -> datetime:
    """A time in UTC, midnight where none is said."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def typed(fields: Vector) -> dict[str, Any]:
    """The fields of a fact; times and amounts are written as text, tokens as a list."""
    return {name: typed_value(name, value) for name, value in fields.items()}


def typed_value(name: str, value: Any) -> Any:
    """The value of a field of a fact."""
    if name in TIMES:
        return at(value)
    if name in AMOUNTS:
        return Decimal(value)
    return Tokens(*value) if name == "tokens" else value


def facts_of(vector: Vector) -> Facts:
    """The facts: of one customer and with ids of their own where nothing else is said."""
    if "facts" in vector:
        return facts_of(NAMED_FACTS[vector["facts"]])

    def each(kind: str, **known: str) -> Iterator[dict[str, Any]]:
        for number, fields in enumerate(vector.get(kind, [])):
            yield {name: text.format(number) for name, text in known.items()} | typed(fields)

    return Facts(
        events=[Event(**one) for one in each("events", customer="c1", name="a")],
        orders=[Order(**one) for one in each("orders", order_id="order {}", customer="c1")],
        refunds=[Refund(**one) for one in each("refunds", refund_id="refund {}")],
        subscriptions=[
            Subscription(**one)
            for one in each("subscriptions", subscription_id="subscription {}", customer="c1")
        ],
        checkouts=[Checkout(**one) for one in each("checkouts", checkout_id="checkout {}")],
        seats=[Seat(**one) for one in each("seats", seat_id="seat {}", customer="c1")],
    )


def question_of(vector: Vector) -> Question:
    """The question: a span of days in periods, UTC by default, of what the filters choose."""
    first, last, interval = vector["span"].split()
    asked = {name: vector[name] for name in QUESTION_FIELDS if name in vector}
    return Question(
        first=date.fromisoformat(first),
        last=date.fromisoformat(last),
        interval=interval,
        filters=Filters(**vector.get("filters", {})),
        **asked,
    )


# Formulas


def expected_of(vector: Vector) -> Mapping[str, str]:
    """The numbers that are expected of each metric."""
    expected: dict[str, str] = vector["expected"]
    if "every metric" in expected:
        return dict.fromkeys(METRICS, expected["every metric"])
    return expected


def check(vector: Vector, answer: Metrics) -> None:
    """Holds an answer to what is expected of it."""
    for slug, numbers in expected_of(vector).items():
        periods = " ".join(str(period[slug]) for _, period in answer.periods)
        assert f"{slug}: {periods} | {answer.totals[slug]}" == f"{slug}: {numbers}"
    unattributed = vector.get("unattributed")
    assert answer.unattributed == (unattributed and Unattributed(**unattributed))


@each_formula
def test_numbers_on_paper(case: Vector) -> None:
    """The twin comes to what was worked out by hand."""
    check(case, question_of(case).on_paper(facts_of(case)))


@each_formula
def test_numbers_of_the_service(caller: Caller, case: Vector) -> None:
    """The service comes to what was worked out by hand."""
    record(caller, facts_of(case))
    check(case, question_of(case).asked(caller))


def test_every_metric_has_a_number() -> None:
    """Each metric has a case with a number that is not 0."""
    shown = {
        slug
        for case in vectors("formulas.jsonl")
        for slug, numbers in expected_of(case.values[0]).items()
        if set(numbers.split()) - {"0", "|"}
    }
    assert shown == set(METRICS)


# Groups


def in_short(group: Group) -> tuple[str, str]:
    """The value of a group, or the number of the others, and the totals."""
    assert group.members == 1 or group.others
    name = f"others {group.members}" if group.others else group.value
    return name, " ".join(str(number) for number in group.totals.values())


def check_groups(vector: Vector, answer: Metrics) -> None:
    """Holds the groups of an answer, in their order, to what is expected of them."""
    assert [in_short(group) for group in answer.groups] == list(vector["expected"].items())


@each_grouping
def test_groups_on_paper(case: Vector) -> None:
    """The twin groups as it was worked out by hand."""
    check_groups(case, question_of(case).on_paper(facts_of(case)))


@each_grouping
def test_groups_of_the_service(caller: Caller, case: Vector) -> None:
    """The service groups as it was worked out by hand."""
    record(caller, facts_of(case))
    check_groups(case, question_of(case).asked(caller))


def test_a_customer_of_two_ids_is_one(caller: Caller) -> None:
    """Whichever of its ids comes with an event, an order or a filter, it is one customer."""
    first, second = (
        facts_of(
            {
                "events": [{"timestamp": day, "cents": cents}],
                "orders": [{"order_id": day, "created": day, "cents": f"{cents}00"}],
                "subscriptions": [
                    {"subscription_id": day, "started": "2025-01-01", "cents": f"{cents}0"}
                ],
            }
        )
        for day, cents in (("2025-01-10", "1"), ("2025-01-11", "2"))
    )
    record(caller, first)
    (identifier,) = {one.customer_id for one in caller.list_events()}

    event = sent(second.events[0])
    order = sent_order(second.orders[0])
    subscription = sent_subscription(second.subscriptions[0], at("2025-01-01"))
    for one in (event, order, subscription):
        one.customer_id = identifier
    caller.ingest(event)
    record_orders(caller, [order])
    record_subscriptions(caller, [subscription])

    expected = {
        "costs": "3",
        "active_user_by_event": 1,
        "revenue": "300",
        "average_revenue_per_user": "30",
        "gross_margin": "297",
    }
    request = question_of(
        {"span": "2025-01-01 2025-01-31 month", "metrics": list(expected), "group_by": "customer"}
    ).request()
    for customers in ([], ["c1"]):
        for customer_ids in ([], [identifier]):
            request.external_customer_ids[:] = customers
            request.customer_ids[:] = customer_ids
            answer = caller.metrics.GetMetrics(request, metadata=caller.metadata)
            assert numbers_of(answer.totals) == expected
            (group,) = answer.groups
            assert (group.value, group.customer_id) == ("c1", identifier)
            assert numbers_of(group.totals) == expected
