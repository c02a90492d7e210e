"""Checkouts and seats: the latest state of each stays, however it arrives."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from cost_insights.identity import Organization
from cost_insights.revenue import (
    NewCheckout,
    NewSeat,
    Recorder,
    RevenueQuestion,
    RevenueReader,
    StateOutcome,
    StoredCheckout,
    StoredSeat,
)
from cost_insights.store import Store, schema
from tests.support.databases import Databases
from tests.support.examples import examples
from tests.support.records import checkout, new_organization, seat, state

ALL = RevenueQuestion(
    customer_ids=(), external_customer_ids=(), product_ids=(), start_us=None, end_us=None
)


@pytest.fixture(scope="module")
def shared(engine: str, databases: Databases) -> Iterator[Store]:
    """A store that all tests share, each as an organization of its own."""
    with databases.fresh(engine) as url, closing(Store(url)) as store:
        store.upgrade()
        yield store


@pytest.fixture
def acme(shared: Store) -> Organization:
    """An organization."""
    return new_organization(shared)


def stored_checkouts(store: Store, owner: Organization) -> dict[str, StoredCheckout]:
    """The stored checkouts by id."""
    found, _ = RevenueReader(store).checkouts(owner, ALL, page_size=1_000, page_token="")
    return {one.checkout_id: one for one in found}


def stored_seats(store: Store, owner: Organization) -> dict[str, StoredSeat]:
    """The stored seats by id."""
    found, _ = RevenueReader(store).seats(owner, ALL, page_size=1_000, page_token="")
    return {one.seat_id: one for one in found}


def rows(store: Store, table: sa.Table, owner: Organization) -> list[dict[str, Any]]:
    """The rows of an organization."""
    with store.read() as connection:
        found = connection.execute(
            sa.select(table)
            .where(table.c.organization_number == owner.number)
            .order_by(table.c.record_number)
        )
        return [dict(row) for row in found.mappings()]


CHECKOUTS = st.builds(
    checkout,
    st.sampled_from("ab"),
    update_us=st.integers(1, 3),
    status=st.sampled_from(["open", "failed", "succeeded"]),
    customer=st.sampled_from([None, "c", "d"]),
    opened_us=st.none() | st.just(2),
)

SEATS = st.builds(
    seat,
    st.sampled_from("ab"),
    update_us=st.integers(1, 3),
    claimed_us=st.none() | st.integers(1, 2),
    revoked_us=st.none() | st.integers(1, 2),
    customer=st.sampled_from(["c", "d"]),
)


def check_like_a_dictionary(
    store: Store,
    calls: list[list[Any]],
    record: Callable[[Organization, list[Any]], list[StateOutcome]],
    stored: Callable[[Store, Organization], dict[str, Any]],
    id_name: str,
) -> None:
    """Compares the states and outcomes of calls with those of a dictionary, in both orders."""
    owner, other = new_organization(store), new_organization(store)
    kept: dict[str, Any] = {}
    for call in calls:
        outcomes = record(owner, call)
        for sent, outcome in zip(call, outcomes, strict=True):
            known = kept.get(getattr(sent, id_name))
            if known is None:
                assert outcome is StateOutcome.INSERTED
            elif known == sent:
                assert outcome is StateOutcome.UNCHANGED
            elif known.update_us > sent.update_us:
                assert outcome is StateOutcome.OUTDATED
            elif known.update_us < sent.update_us:
                assert outcome is StateOutcome.UPDATED
            else:
                assert outcome in {StateOutcome.UPDATED, StateOutcome.OUTDATED}
            if outcome in {StateOutcome.INSERTED, StateOutcome.UPDATED}:
                kept[getattr(sent, id_name)] = sent
    for call in reversed(calls):
        record(other, call[::-1])
    found, opposite = stored(store, owner), stored(store, other)
    assert found.keys() == opposite.keys() == kept.keys()
    for one, state_ in found.items():
        assert replace(opposite[one], customer_id=state_.customer_id) == state_
        sent = dict(vars(kept[one]))
        assert state_.external_customer_id == sent.pop("customer")
        assert vars(state_).items() >= sent.items()


@hypothesis.given(st.lists(st.lists(CHECKOUTS, max_size=5), max_size=4))
@hypothesis.settings(max_examples=examples(0.3))
def test_checkouts_like_a_dictionary(shared: Store, calls: list[list[NewCheckout]]) -> None:
    """Any calls in any order keep and report what a dictionary keeps and reports; of two states
    of one time the same one is kept in the opposite order."""
    check_like_a_dictionary(
        shared, calls, Recorder(shared).checkouts, stored_checkouts, "checkout_id"
    )


@hypothesis.given(st.lists(st.lists(SEATS, max_size=5), max_size=4))
@hypothesis.settings(max_examples=examples(0.3))
def test_seats_like_a_dictionary(shared: Store, calls: list[list[NewSeat]]) -> None:
    """Any calls in any order keep and report what a dictionary keeps and reports; of two states
    of one time the same one is kept in the opposite order."""
    check_like_a_dictionary(shared, calls, Recorder(shared).seats, stored_seats, "seat_id")


STATUSES = ("open", "confirmed", "expired", "failed", "succeeded")


def test_of_one_time_the_checkout_that_came_further_counts(
    shared: Store, acme: Organization
) -> None:
    """If several states have one time, the greatest status stays, whichever came last."""
    dice = random.Random(3)
    recorder = Recorder(shared)
    for place, status in enumerate(STATUSES):
        sent = [checkout(status, status=one) for one in STATUSES[: place + 1]]
        dice.shuffle(sent)
        recorder.checkouts(acme, sent)
    assert {one: found.status for one, found in stored_checkouts(shared, acme).items()} == {
        status: status for status in STATUSES
    }


def test_of_one_time_the_seat_revoked_last_counts(shared: Store, acme: Organization) -> None:
    """If several states have one time, the last revoked one stays, then the last claimed one."""
    recorder = Recorder(shared)
    sent = [
        seat(claimed_us=claimed_us, revoked_us=revoked_us)
        for revoked_us in (None, 1, 2)
        for claimed_us in (None, 1, 2)
    ]
    assert recorder.seats(acme, sent) == [StateOutcome.INSERTED, *[StateOutcome.UPDATED] * 8]
    assert recorder.seats(acme, sent) == [*[StateOutcome.OUTDATED] * 8, StateOutcome.UNCHANGED]


def test_records_are_numbered_together(shared: Store, acme: Organization) -> None:
    """States that count take the next numbers of records; those that do not take none."""
    recorder = Recorder(shared)
    recorder.checkouts(acme, [checkout("a"), checkout("b"), checkout("a", update_us=2)])
    recorder.seats(acme, [seat("a")])
    recorder.subscriptions(acme, [state()])
    recorder.checkouts(acme, [checkout("a"), checkout("b")])
    recorder.seats(acme, [seat("a", update_us=0), seat("a", update_us=2), seat("b")])
    checkouts, seats = (rows(shared, table, acme) for table in (schema.checkout, schema.seat))
    assert {row["checkout_id"]: row["record_number"] for row in checkouts} == {"a": 1, "b": 2}
    assert {row["seat_id"]: row["record_number"] for row in seats} == {"a": 5, "b": 6}
    with shared.read() as connection:
        count = connection.scalar(
            sa.select(schema.organization.c.records_count).where(
                schema.organization.c.number == acme.number
            )
        )
    assert count == 6


@pytest.mark.parametrize(
    ("created_us", "opened_us", "counted_us"),
    [
        (1_769_083_979_999_999, None, 1_769_083_979_999_999),
        (1_769_083_979_999_999, 1_769_083_980_000_007, 1_769_083_980_000_007),
        (1_769_083_980_000_000, None, None),
        (1_769_083_980_000_000, 1_769_083_980_000_009, 1_769_083_980_000_009),
    ],
)
def test_plain_sql_knows_when_a_checkout_counts(
    shared: Store,
    acme: Organization,
    created_us: int,
    opened_us: int | None,
    counted_us: int | None,
) -> None:
    """A checkout counts when it was opened or, if that was not recorded, when it was created."""
    sent = checkout(created_us=created_us, opened_us=opened_us)
    Recorder(shared).checkouts(acme, [sent])
    (row,) = rows(shared, schema.checkout, acme)
    assert row["counted_us"] == counted_us
    assert (row["customer_number"], row["status"]) == (-1, "open")


def test_plain_sql_knows_how_a_seat_is_billed(shared: Store, acme: Organization) -> None:
    """The billing type of a subscription is recurring, that of an order is one-time."""
    sent = [seat("a"), seat("b", subscription_id="", order_id="o")]
    Recorder(shared).seats(acme, sent)
    found = rows(shared, schema.seat, acme)
    assert [row["billing_type"] for row in found] == ["recurring", "one_time"]


def test_states_that_race(shared: Store, acme: Organization) -> None:
    """The latest state of each stays, whichever concurrent call comes first."""
    dice = random.Random(7)
    latest = {f"{number}": dice.randrange(4, 50) for number in range(30)}
    Recorder(shared).seats(acme, [seat("first")])

    def call(_: int) -> None:
        sent = [(one, dice.randrange(1, most)) for one, most in latest.items()]
        sent += latest.items()
        dice.shuffle(sent)
        Recorder(shared).checkouts(acme, [checkout(one, update_us) for one, update_us in sent])
        Recorder(shared).seats(acme, [seat(one, update_us) for one, update_us in sent])

    with ThreadPoolExecutor(4) as callers:
        list(callers.map(call, range(4)))
    found = stored_checkouts(shared, acme)
    assert {one: kept.update_us for one, kept in found.items()} == latest
    seats = stored_seats(shared, acme)
    assert {one: kept.update_us for one, kept in seats.items()} == latest | {"first": 1}
