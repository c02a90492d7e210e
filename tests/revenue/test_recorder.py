"""Recording: each id once, the latest state, whoever else records at the same time."""

import asyncio
import contextlib
import itertools
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from cost_insights.api.work import Work
from cost_insights.errors import InvalidRequestError, OverloadedError, StoreUnavailableError
from cost_insights.identity import Organization
from cost_insights.revenue import (
    NewOrder,
    NewSubscription,
    Recorded,
    Recorder,
    Refund,
    RevenueQuestion,
    RevenueReader,
    StateOutcome,
    StoredSubscription,
    SubscriptionChange,
    SystemEvent,
)
from cost_insights.store import Store, schema
from cost_insights.store.schema import customer, paid_order, refund, subscription
from cost_insights.store.schema import organization as organizations
from tests.support.databases import Databases
from tests.support.examples import examples
from tests.support.records import CENT, checkout, new_organization, order, seat, state

ALL = RevenueQuestion(
    customer_ids=(), external_customer_ids=(), product_ids=(), start_us=None, end_us=None
)


def rows(store: Store, table: sa.Table) -> list[dict[str, Any]]:
    """Every row of a table."""
    with store.read() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def states(store: Store, owner: Organization) -> dict[str, StoredSubscription]:
    """The stored states by id."""
    found, token = RevenueReader(store).subscriptions(owner, ALL, page_size=1_000, page_token="")
    assert token == ""
    return {one.subscription_id: one for one in found}


def test_an_order_is_what_plain_sql_expects(store: Store, acme: Organization) -> None:
    """A row holds the amounts as they came and in usd, also those of more than 64 bits."""
    sent = order(
        currency="eur",
        exchange_rate_e12=1_080_000_000_000,
        net_picocents=-(10**27) + 3,
        applied_balance_picocents=5,
        fee_picocents=-(10**20),
    )
    recorded = Recorder(store).orders(acme, [sent])
    assert recorded == (1, 0, [])
    (row,) = rows(store, paid_order)
    (owner,) = rows(store, customer)
    assert owner["external_id"] == "c"
    assert row == {
        "organization_number": acme.number,
        "order_id": "o",
        "customer_number": owner["number"],
        "product_id": "p",
        "billing_type": "recurring",
        "subscription_id": "s",
        "currency": "eur",
        "exchange_rate_e12": 1_080_000_000_000,
        "net_picocents": -999_999_999_999_999_999_999_999_997,
        "net_usd_picocents": -1_079_999_999_999_999_999_999_999_997,
        "applied_balance_picocents": 5,
        "applied_balance_usd_picocents": 5,
        "fee_picocents": -(10**20),
        "created_us": 5,
        "paid_us": 6,
    }


def test_a_refund_is_what_plain_sql_expects(store: Store, acme: Organization) -> None:
    """A row holds what the refund adds to revenue, and the fee as it came."""
    sent = Refund(
        refund_id="r",
        kind="dispute",
        order_id="not there yet",
        currency="eur",
        exchange_rate_e12=1_080_000_000_000,
        amount_picocents=10**20,
        fee_picocents=1_500 * CENT,
        created_us=7,
    )
    assert Recorder(store).refunds(acme, [sent]) == (1, 0, [])
    assert rows(store, refund) == [
        {
            "organization_number": acme.number,
            "refund_id": "r",
            "kind": "dispute",
            "order_id": "not there yet",
            "currency": "eur",
            "exchange_rate_e12": 1_080_000_000_000,
            "amount_picocents": 10**20,
            "adjustment_usd_picocents": -108 * 10**18,
            "fee_picocents": 1_500 * CENT,
            "created_us": 7,
        }
    ]


def test_plain_sql_sums_wide_amounts(store: Store, acme: Organization) -> None:
    """On PostgreSQL a sum of wide amounts is exact; SQLite keeps their digits."""
    amounts = [10**27, 10**27, -1, 7]
    orders = [order(f"o{n}", net_picocents=amount) for n, amount in enumerate(amounts)]
    Recorder(store).orders(acme, orders)
    with store.read() as connection:
        if connection.dialect.name == "postgresql":
            total = "SELECT sum(net_usd_picocents)::text FROM paid_order"
            assert connection.exec_driver_sql(total).scalar_one() == str(2 * 10**27 + 6)
        else:
            digits = "SELECT net_usd_picocents FROM paid_order ORDER BY order_id"
            found = connection.exec_driver_sql(digits).scalars().all()
            assert found == [str(amount) for amount in amounts]


CHANGES: list[dict[str, Any]] = [
    {"customer": "other"},
    {"product_id": ""},
    {"billing_type": "one_time"},
    {"subscription_id": ""},
    {"currency": "eur"},
    {"exchange_rate_e12": 10**12 + 1},
    {"net_picocents": 2_900 * CENT + 1},
    {"applied_balance_picocents": 1},
    {"fee_picocents": 1},
    {"created_us": 4},
    {"paid_us": 7},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_any_other_content_is_a_conflict(
    store: Store, acme: Organization, change: dict[str, Any]
) -> None:
    """The first order stays if any field of another one differs."""
    recorder = Recorder(store)
    recorder.orders(acme, [order()])
    stored = rows(store, paid_order)
    recorded = recorder.orders(acme, [order(), order(**change)])
    assert recorded == (0, 1, [(1, "o")])
    assert rows(store, paid_order) == stored


def test_unknown_customers_store_nothing(store: Store, acme: Organization) -> None:
    """An unknown UUID refuses the whole call, and registers nobody."""
    stranger = uuid.UUID("1dbfc517-0bbf-4301-9ba8-555ca42b9737")
    recorder = Recorder(store)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("orders", lambda: recorder.orders(acme, [order("a"), order("b", customer=stranger)])),
        (
            "subscriptions",
            lambda: recorder.subscriptions(acme, [state("a"), state("b", customer=stranger)]),
        ),
        (
            "checkouts",
            lambda: recorder.checkouts(acme, [checkout("a"), checkout("b", customer=stranger)]),
        ),
        ("seats", lambda: recorder.seats(acme, [seat("a"), seat("b", customer=stranger)])),
    ]
    for path, call in calls:
        with pytest.raises(InvalidRequestError) as caught:
            call()
        assert caught.value.reason == "CUSTOMER_NOT_FOUND"
        assert caught.value.message == (
            f"{path}[1].customer_id: the organization has no customer {stranger}; only the id of "
            "one of its customers is allowed"
        )
    for table in (paid_order, subscription, schema.checkout, schema.seat, customer):
        assert rows(store, table) == []


def test_nothing_is_a_request_too(store: Store, acme: Organization) -> None:
    """A call without records stores nothing and is no error."""
    recorder = Recorder(store)
    assert recorder.orders(acme, []) == (0, 0, [])
    assert recorder.refunds(acme, []) == (0, 0, [])
    assert recorder.subscriptions(acme, []) == []


def at_once(database_url: str, calls: Sequence[Callable[[Recorder], Any]]) -> list[Any]:
    """The result of each call; each has a store of its own, as another process has."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[Recorder], Any]) -> Any:
        with contextlib.closing(Store(database_url)) as store:
            rows(store, paid_order)  # connected before the others are waited for
            together.wait()
            return call(Recorder(store))

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def test_orders_that_race(store: Store, database_url: str, acme: Organization) -> None:
    """If callers record the same ids with other contents, one of them stores each."""
    callers, ids = 4, 200
    rng = random.Random(5)
    # Registering customers would make the callers wait for each other by itself.
    known = [order(f"known {n}", customer=f"c{n}") for n in range(50)]
    Recorder(store).orders(acme, known)

    def call(seed: int) -> Callable[[Recorder], Any]:
        # In an order of its own, so that they would wait for each other's rows.
        sent = [order(f"o{n}", customer=f"c{n % 50}", net_picocents=seed) for n in range(ids)]
        rng.shuffle(sent)
        return lambda recorder: recorder.orders(acme, sent)

    answers = at_once(database_url, [call(seed) for seed in range(callers)])
    assert sum(answer.inserted for answer in answers) == ids
    assert sum(len(answer.conflicts) for answer in answers) == ids * (callers - 1)
    assert {answer.duplicates for answer in answers} == {0}
    stored = [row for row in rows(store, paid_order) if row["order_id"].startswith("o")]
    assert len(stored) == ids
    for seed, answer in enumerate(answers):
        assert sum(row["net_picocents"] == seed for row in stored) == answer.inserted
    assert sorted(one["number"] for one in rows(store, customer)) == list(range(50))


def test_subscriptions_that_race(store: Store, database_url: str, acme: Organization) -> None:
    """The latest state of each subscription stays, whichever caller comes first."""
    rng = random.Random(7)
    Recorder(store).orders(acme, [order()])
    latest = {f"s{n}": rng.randrange(4, 50) for n in range(40)}

    def call(_: int) -> Callable[[Recorder], Any]:
        sent = [
            state(one, update_us=rng.randrange(1, most), ends_us=rng.randrange(9))
            for one, most in latest.items()
        ]
        sent += [state(one, update_us=most) for one, most in latest.items()]
        rng.shuffle(sent)
        return lambda recorder: recorder.subscriptions(acme, sent)

    answers = at_once(database_url, [call(n) for n in range(4)])
    outcomes = list(itertools.chain.from_iterable(answers))
    assert outcomes.count(StateOutcome.INSERTED) == len(latest)
    assert outcomes.count(StateOutcome.UNCHANGED) == 3 * len(latest)
    found = states(store, acme)
    assert {one: kept.update_us for one, kept in found.items()} == latest
    assert {kept.ends_us for kept in found.values()} == {None}


def test_statements_that_race(store: Store, database_url: str, acme: Organization) -> None:
    """The statements make the same states, whichever caller is first with any part of them."""
    rng = random.Random(11)
    statements: list[SystemEvent] = []
    for n in range(30):
        statements.append(state(f"s{n}", 5, customer=f"c{n}"))
        changes: list[tuple[str, dict[str, str | int | None]]] = [
            ("subscription.canceled", {"canceled_us": 20, "ends_us": 40, "cancel_reason": "other"}),
            ("subscription.uncanceled", {"uncanceled_us": 10}),
            ("subscription.product_updated", {"product_id": "q"}),
            ("subscription.cycled", {}),
        ]
        for kind, columns in changes:
            time_us = rng.randrange(1, 30)
            statements.append(
                SubscriptionChange(
                    subscription_id=f"s{n}", kind=kind, time_us=time_us, columns=columns
                )
            )
    placed = list(enumerate(statements))
    alone = new_organization(store)
    Recorder(store).system_events(alone, placed, accept_valid=False)
    rng.shuffle(placed)

    def call(part: int) -> Callable[[Recorder], Any]:
        def record(recorder: Recorder) -> int:
            inserted = 0
            for first in range(part * 5, len(placed), 20):
                one = placed[first : first + 10]  # half of them another caller sends too
                answer = recorder.system_events(acme, one, accept_valid=False)
                inserted += answer.inserted
            return inserted

        return record

    assert sum(at_once(database_url, [call(part) for part in range(4)])) == len(placed)
    expected = states(store, alone)
    for one, found in states(store, acme).items():
        assert replace(found, customer_id=expected[one].customer_id) == expected.pop(one)
    assert not expected


def test_too_many_calls_are_refused(store: Store, acme: Organization) -> None:
    """While the database is busy 64 calls wait behind the one that is recorded and others are
    refused, and all that wait are done."""

    async def call() -> list[Recorded | BaseException]:
        recorder, work = Recorder(store), Work(store, query_seconds_max=60, readers=2)
        with store.write() as connection:
            connection.execute(sa.update(organizations).values(customers_count=0))
            calls = asyncio.gather(
                *(
                    work.record(acme, partial(recorder.orders, acme, [order(f"o{n}")]))
                    for n in range(70)
                ),
                return_exceptions=True,
            )
            await asyncio.sleep(0)
        answers = await calls
        await work.close()
        return answers

    answers = asyncio.run(call())
    assert answers[:65] == [(1, 0, [])] * 65
    for answer in answers[65:]:
        assert isinstance(answer, OverloadedError)
        assert answer.message == (
            "64 calls of the organization wait, at most 64 are held, each for 60 seconds at most; "
            "try again later"
        )
        assert answer.facts == {"waiting_calls": "64", "waiting_calls_max": "64"}
    assert len(rows(store, paid_order)) == 65


def test_a_broken_connection_is_tried_again(store: Store, acme: Organization) -> None:
    """A transaction whose connection breaks is done again, and nothing of it counts twice."""
    attempts: list[sa.Connection] = []

    def work(connection: sa.Connection) -> int:
        attempts.append(connection)
        connection.execute(
            sa.insert(customer).values(
                organization_number=acme.number,
                number=0,
                id=uuid.uuid4(),
                external_id="c",
                created_us=0,
            )
        )
        if len(attempts) == 1:
            if connection.dialect.name == "sqlite":
                raise StoreUnavailableError
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return len(attempts)

    assert store.write_retrying(work) == 2
    assert len(rows(store, customer)) == 1


class LosingStore(Store):
    """A store that loses the connection right after its first commit."""

    commits = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with super().write() as connection:
            yield connection
        self.commits += 1
        if self.commits == 1:
            raise StoreUnavailableError


def test_a_commit_nobody_heard_of_counts_once(
    store: Store, database_url: str, acme: Organization
) -> None:
    """A record that was committed although the connection broke is found, not stored again."""
    calls: list[tuple[Callable[[Recorder], Any], Any]] = [
        (lambda recorder: recorder.orders(acme, [order()]), (0, 1, [])),
        (
            lambda recorder: recorder.subscriptions(acme, [state()]),
            [StateOutcome.UNCHANGED],
        ),
    ]
    for call, answer in calls:
        with contextlib.closing(LosingStore(database_url)) as losing:
            assert call(Recorder(losing)) == answer
            assert losing.commits == 2
    assert len(rows(store, paid_order)) == len(rows(store, subscription)) == 1


def test_what_fails_for_good_is_not_tried_again(store: Store, acme: Organization) -> None:
    """An error that is not the database's ends the work at once, and leaves nothing."""
    attempts: list[sa.Connection] = []
    Recorder(store).orders(acme, [order()])

    def work(connection: sa.Connection) -> None:
        attempts.append(connection)
        connection.execute(sa.delete(paid_order))
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        store.write_retrying(work)
    assert len(attempts) == 1
    assert len(rows(store, paid_order)) == 1


@pytest.fixture(scope="module")
def shared(engine: str, databases: Databases) -> Iterator[Store]:
    """A store that many examples share, each as an organization of its own."""
    with databases.fresh(engine) as url:
        store = Store(url)
        store.upgrade()
        yield store
        store.close()


STATES = st.builds(
    state,
    st.sampled_from("ab"),
    update_us=st.integers(1, 4),
    amount_picocents=st.integers(0, 2),
    customer=st.sampled_from(["c", "d"]),
)


@hypothesis.given(st.lists(st.lists(STATES, max_size=5), max_size=5))
@hypothesis.settings(max_examples=examples(0.4))
def test_states_like_a_dictionary(shared: Store, calls: list[list[NewSubscription]]) -> None:
    """Any calls in any order keep and tell what a dictionary keeps and tells; of two states
    of one time the same one is kept in the opposite order."""
    owner, other = new_organization(shared), new_organization(shared)
    kept: dict[str, NewSubscription] = {}
    for call in calls:
        outcomes = Recorder(shared).subscriptions(owner, call)
        for sent, outcome in zip(call, outcomes, strict=True):
            known = kept.get(sent.subscription_id)
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
                kept[sent.subscription_id] = sent
        assert len(outcomes) == len(call)
    found = states(shared, owner)
    for call in reversed(calls):
        Recorder(shared).subscriptions(other, call[::-1])
    for one, stored in states(shared, other).items():
        assert replace(stored, customer_id=found[one].customer_id) == found[one]
    assert found.keys() == kept.keys()
    for one, stored in found.items():
        assert stored.external_customer_id == kept[one].customer
        assert stored == StoredSubscription(
            customer_id=stored.customer_id,
            external_customer_id=stored.external_customer_id,
            **{key: value for key, value in vars(kept[one]).items() if key != "customer"},
        )


@hypothesis.given(
    st.lists(
        st.lists(
            st.builds(order, st.sampled_from("abc"), net_picocents=st.integers(0, 1)), max_size=5
        ),
        max_size=4,
    )
)
@hypothesis.settings(max_examples=examples(0.25))
def test_orders_like_a_dictionary(shared: Store, calls: list[list[NewOrder]]) -> None:
    """Any calls in any order insert, repeat and refuse what a dictionary says."""
    owner = new_organization(shared)
    kept: dict[str, NewOrder] = {}
    for call in calls:
        inserted = duplicates = 0
        conflicts = []
        for index, sent in enumerate(call):
            known = kept.setdefault(sent.order_id, sent)
            inserted += known is sent
            duplicates += known is not sent and known == sent
            if known != sent:
                conflicts.append((index, sent.order_id))
        recorded = Recorder(shared).orders(owner, call)
        assert recorded == (inserted, duplicates, conflicts)
