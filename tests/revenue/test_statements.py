"""Subscriptions follow from their statements, in whatever order and requests these come."""

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa

import cost_insights.store
from cost_insights.identity import Organization
from cost_insights.revenue import Recorder, StateOutcome, SubscriptionChange
from cost_insights.revenue.statements import (
    CREATED,
    STATE,
    Latest,
    change_of,
    keep_latest,
    state_of,
    subscription_of,
)
from cost_insights.revenue.subscriptions import latest_statements, record_events, record_states
from cost_insights.revenue.tables import Row
from cost_insights.store import Store
from cost_insights.store.schema import (
    customer,
    organization,
    subscription,
    subscription_statement,
)
from tests.support.ledger import rows
from tests.support.records import new_organization, state

ACME = Organization(1, uuid.UUID(int=1), "acme", 0)


def change(kind: str, time_us: int, **columns: Any) -> SubscriptionChange:
    """A change of the subscription."""
    return SubscriptionChange(
        subscription_id="s", kind=f"subscription.{kind}", time_us=time_us, columns=columns
    )


CHANGES = [
    change("product_updated", 3, product_id="q"),
    change("cycled", 9),
    change("canceled", 4, canceled_us=4, cancel_reason="unused", ends_us=30),
    change("uncanceled", 5, uncanceled_us=5),
    change("revoked", 6, ended_us=6),
    change("reinstated", 7, uncanceled_us=7),
    change("canceled", 7, canceled_us=7, cancel_reason="other", ends_us=20),
]


def together(statements: Iterable[Row]) -> Row | None:
    """The subscription that statements make in this order."""
    latest: Latest = {}
    for one in statements:
        keep_latest(latest, one)
    return subscription_of(latest)


def made(start: Row, **columns: Any) -> Row:
    """The subscription that starts so, with other values in some columns."""
    known = {
        name: value
        for name, value in start.items()
        if name not in {"statement_id", "kind", "time_us"}
    }
    return {**known, "update_us": start["time_us"], **columns}


def test_every_permutation_of_a_life() -> None:
    """A start and seven changes, two of them of one time, make one state in any order."""
    start = state_of(ACME, CREATED, state("s", 1), 7, "c")
    statements = [start, *(change_of(ACME, one) for one in CHANGES)]
    expected = made(
        start,
        product_id="q",
        canceled_us=7,
        cancel_reason="other",
        uncanceled_us=7,
        ends_us=20,
        ended_us=None,
        update_us=9,
    )
    for permutation in itertools.permutations(statements):
        assert together(permutation) == expected


def test_a_state_knows_what_was_before_it() -> None:
    """Changes before the latest state change nothing; those of its time and later do."""
    start = state_of(ACME, CREATED, state("s", 1), 7, "c")
    before = state_of(ACME, STATE, state("s", 4, product_id="r", ends_us=8), 8, "d")
    after = state_of(ACME, STATE, state("s", 7, product_id="t"), 8, "d")
    changes = [change_of(ACME, one) for one in CHANGES]
    permutation = [*changes[:4], before, *changes[4:], start, after]
    expected = made(
        after,
        canceled_us=7,
        cancel_reason="other",
        uncanceled_us=7,
        ends_us=20,
        update_us=9,
    )
    for shift in range(len(permutation)):
        assert together(permutation[shift:] + permutation[:shift]) == expected


def test_a_start_changes_no_state() -> None:
    """A start that is later than a state changes nothing: it knows less."""
    known = state_of(ACME, STATE, state("s", 1, ends_us=9), 7, "c")
    start = state_of(ACME, CREATED, state("s", 5, amount_picocents=0), 7, "c")
    assert together([known, start]) == together([start, known]) == made(known)


def test_a_change_before_the_start_counts() -> None:
    """A start says nothing of changes, whatever time its event has."""
    start = state_of(ACME, CREATED, state("s", 50), 7, "c")
    changed = change_of(ACME, change("product_updated", 3, product_id="q"))
    assert together([changed]) is None
    assert together([changed, start]) == made(start, product_id="q", update_us=50)


def test_states_of_one_time() -> None:
    """If states have the same time the one with the later end counts, and then always the same one,
    whichever comes first and whoever is the first customer."""
    sent = [
        (state("s", 1, ends_us=9), "c"),
        (state("s", 1, ended_us=2), "c"),
        (state("s", 1, ended_us=3, product_id="q"), "d"),
        (state("s", 1, ended_us=3), "d"),
        (state("s", 1), "e"),
    ]
    kept = set()
    for permutation in itertools.permutations(sent):
        known = together(
            state_of(ACME, STATE, one, number, name)
            for number, (one, name) in enumerate(permutation)
        )
        assert known is not None
        kept.add((known["ended_us"], known["product_id"]))
    assert kept in ({(3, "p")}, {(3, "q")})
    for one, other in itertools.permutations([sent[0], sent[4]]):
        known = together(state_of(ACME, STATE, said, 7, name) for said, name in (one, other))
        assert known is not None
        assert known["ends_us"] == 9


# Of a database


def upgraded(database_url: str) -> Store:
    """A store with its schema."""
    store = Store(database_url)
    store.upgrade()
    return store


def splits(events: Sequence[Any]) -> Iterator[list[Sequence[Any]]]:
    """All ways to send events in requests, in their order."""
    for cuts in itertools.product([False, True], repeat=len(events) - 1):
        places = [0, *(place for place, cut in enumerate(cuts, 1) if cut), len(events)]
        yield [events[first:last] for first, last in itertools.pairwise(places)]


@pytest.mark.slow
def test_every_permutation_and_split(database_url: str) -> None:
    """A start, a state and two changes of one time make one state, however they come."""
    said = [
        state("s", 1),
        change("cycled", 6),
        change("canceled", 6, canceled_us=6, cancel_reason="unused", ends_us=30),
        (state("s", 4, product_id="r"),),
    ]

    def record(recorder: Recorder, owner: Organization, request: Sequence[Any]) -> int:
        typed = [one for one in request if isinstance(one, tuple)]
        for (one,) in typed:
            recorder.subscriptions(owner, [one])
        events = [(n, one) for n, one in enumerate(request) if not isinstance(one, tuple)]
        answer = recorder.system_events(owner, events, accept_valid=False)
        return answer.inserted

    with closing(upgraded(database_url)) as store:
        recorder = Recorder(store)
        for permutation in itertools.permutations(said):
            for requests in splits(permutation):
                owner = new_organization(store)
                inserted = [record(recorder, owner, one) for one in requests]
                assert sum(inserted) == 3
                (found,) = rows(store, subscription, owner)
                assert (found["product_id"], found["ends_us"], found["update_us"]) == ("r", 30, 6)
                assert len(rows(store, subscription_statement, owner)) == 4


def test_a_request_reads_one_statement_of_each_kind(database_url: str) -> None:
    """A request reads the latest statements of a subscription, however many there are."""
    with closing(upgraded(database_url)) as store:
        owner = new_organization(store)
        cycles = [change_of(owner, change("cycled", n)) for n in range(900)]
        with store.write() as connection:
            record_events(connection, owner, [*cycles, change_of(owner, CHANGES[0])])
        with store.write() as connection:
            latest = latest_statements(connection, owner, ["s"])
    assert latest == {"s": {one["kind"]: one for one in (cycles[-1], change_of(owner, CHANGES[0]))}}


def test_the_database_finds_the_latest(database_url: str) -> None:
    """The database finds the statement that counts of those with one kind and time."""
    ends = [None, 1, 5]
    with closing(upgraded(database_url)) as store:
        owner = new_organization(store)
        states = [
            state_of(owner, STATE, state("s", time_us, ended_us=ended, ends_us=end), 7, name)
            for time_us in (3, 2)
            for ended, end, name in itertools.product(ends, ends, "cd")
        ]
        for count in range(1, len(states) + 1):
            known: Latest = {}
            for one in states[-count:]:
                keep_latest(known, one)
            with store.write() as connection:
                record_states(connection, owner, states[-count:][:1])
                assert latest_statements(connection, owner, ["s"]) == {"s": known}


def test_states_of_before_are_statements(database_url: str) -> None:
    """The state of each subscription that was there before statements were is one of them."""
    folder = Path(cost_insights.store.__file__).parent / "migrations"
    config = alembic.config.Config()
    config.set_main_option("script_location", str(folder))
    known = [state(f"s{n:05}", 5, product_id="ü", ends_us=n) for n in range(10_001)]
    with closing(Store(database_url)) as store:
        store.dialect.create(store.url)
        with store.write() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "0004")
        with store.write() as connection:
            owner = Organization(1, uuid.uuid4(), "acme", 0)
            connection.execute(
                sa.insert(organization).values(
                    number=owner.number,
                    id=owner.id,
                    name=owner.name,
                    created_us=owner.created_us,
                    customers_count=4,
                )
            )
            number_and_id = {"number": 3, "id": uuid.uuid4(), "external_id": "c"}
            connection.execute(
                sa.insert(customer),
                {"organization_number": owner.number, "created_us": 0, **number_and_id},
            )
            connection.execute(
                sa.insert(subscription),
                [
                    {
                        **{name: value for name, value in vars(one).items() if name != "customer"},
                        "organization_number": owner.number,
                        "customer_number": 3,
                        "record_number": n,
                    }
                    for n, one in enumerate(known)
                ],
            )
        store.upgrade()
        before = rows(store, subscription, owner)
        recorder = Recorder(store)
        outcomes = recorder.subscriptions(owner, known[-1000:])
        assert set(outcomes) == {StateOutcome.UNCHANGED}
        assert rows(store, subscription, owner) == before
        assert len(rows(store, subscription_statement, owner)) == len(known)
        late = [
            SubscriptionChange(
                subscription_id=one.subscription_id,
                kind="subscription.product_updated",
                time_us=time_us,
                columns={"product_id": "q"},
            )
            for one, time_us in ((known[0], 4), (known[-1], 6))
        ]
        recorder.system_events(owner, list(enumerate(late)), accept_valid=False)
        after = rows(store, subscription, owner)
        assert after[:-1] == before[:-1]
        assert (after[-1]["product_id"], after[-1]["ends_us"]) == ("q", 10_000)
