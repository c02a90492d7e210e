"""The ledger: numbers without gaps, and sums that are right whatever came first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from cost_insights.identity import Organization
from cost_insights.revenue import NewOrder, Recorder, Refund
from cost_insights.store import Store
from cost_insights.store.schema import ledger_entry, paid_order, refund, subscription
from cost_insights.store.schema import organization as organizations
from tests.support.databases import Databases
from tests.support.examples import examples
from tests.support.ledger import expected, rows, summed
from tests.support.records import CENT, given_back, new_organization, order, state

_E12 = 10**12


@pytest.fixture(scope="module")
def store(engine: str, databases: Databases) -> Iterator[Store]:
    """A store that all tests share, each as an organization of its own."""
    with databases.fresh(engine) as url, closing(Store(url)) as store:
        store.upgrade()
        yield store


def records_count(store: Store, owner: Organization) -> int:
    """The last number that was given to a record."""
    with store.read() as connection:
        count: int = connection.execute(
            sa.select(organizations.c.records_count).where(organizations.c.number == owner.number)
        ).scalar_one()
        return count


def test_an_order_is_one_entry(store: Store, acme: Organization) -> None:
    """Revenue is of the time of creation; what the order was worth lacks the applied balance."""
    sent = order(
        "o",
        currency="eur",
        exchange_rate_e12=1_500_000_000_000,
        net_picocents=1_001,
        applied_balance_picocents=201,
        fee_picocents=7,
        created_us=50,
        paid_us=40,
    )
    Recorder(store).orders(acme, [sent])
    # 1001 * 1.5 = 1501.5 is rounded to the even 1502, 201 * 1.5 = 301.5 to 302.
    assert rows(store, ledger_entry, acme) == [
        {
            "number": 1,
            "revenue_us": 50,
            "order_us": 40,
            "customer_number": 0,
            "product_id": "p",
            "billing_type": "recurring",
            "subscription_id": "s",
            "currency": "eur",
            "exchange_rate_e12": 1_500_000_000_000,
            "revenue_picocents": 1_502,
            "net_revenue_picocents": 1_495,
            "records": 1,
            "orders": 1,
            "order_revenue_picocents": 1_200,
            "order_net_revenue_picocents": 1_193,
        }
    ]
    assert records_count(store, acme) == 1


def test_a_negative_balance_changes_nothing(store: Store, acme: Organization) -> None:
    """Credit that paid a part of an order does not add to what the order was worth."""
    Recorder(store).orders(acme, [order("o", applied_balance_picocents=-5)])
    (entry,) = rows(store, ledger_entry, acme)
    assert entry["order_revenue_picocents"] == entry["revenue_picocents"] == 2_900 * CENT


@pytest.mark.parametrize(
    ("kind", "net_revenue", "order_net_revenue"),
    [
        ("refund", -103, -103),
        ("refund_reversal", 97, 97),
        ("dispute", -103, 0),
        ("dispute_reversal", 97, 0),
    ],
)
def test_a_refund_is_an_entry_of_its_order(
    store: Store, acme: Organization, kind: str, net_revenue: int, order_net_revenue: int
) -> None:
    """A refund is booked at the times of its order, less its fee; a dispute leaves the order's
    worth."""
    recorder = Recorder(store)
    recorder.orders(acme, [order("o", created_us=5, paid_us=4)])
    back = given_back("r", "o", kind=kind, amount_picocents=100, fee_picocents=3)
    recorder.refunds(acme, [back])
    _, entry = rows(store, ledger_entry, acme)
    assert entry == {
        "number": 2,
        "revenue_us": 5,
        "order_us": 4,
        "customer_number": 0,
        "product_id": "p",
        "billing_type": "recurring",
        "subscription_id": "s",
        "currency": "usd",
        "exchange_rate_e12": _E12,
        "revenue_picocents": 0,
        "net_revenue_picocents": net_revenue,
        "records": 1,
        "orders": 0,
        "order_revenue_picocents": 0,
        "order_net_revenue_picocents": order_net_revenue,
    }


def test_an_order_after_its_refunds(store: Store, acme: Organization) -> None:
    """A refund without its order is nobody's, at its own time, until the order takes it over."""
    recorder = Recorder(store)
    refunds = [given_back("r1", "o"), given_back("r2", "other"), given_back("r3", "o")]
    recorder.refunds(acme, refunds)
    assert recorder.orders(acme, [order("o")]) == (1, 0, [])
    nobodys = (9, 9, -1, "", "", "")
    known = (5, 5, 0, "p", "recurring", "s")
    nine = 900 * CENT
    whole = 2_900 * CENT
    assert [tuple(row.values()) for row in rows(store, ledger_entry, acme)] == [
        (1, *nobodys, "", 0, 0, -nine, 1, 0, 0, 0),
        (2, *nobodys, "", 0, 0, -nine, 1, 0, 0, 0),
        (3, *nobodys, "", 0, 0, -nine, 1, 0, 0, 0),
        (4, *known, "usd", _E12, whole, whole, 1, 1, whole, whole),
        (5, *nobodys, "", 0, 0, nine, -1, 0, 0, 0),
        (6, *known, "usd", _E12, 0, -nine, 1, 0, 0, -nine),
        (7, *nobodys, "", 0, 0, nine, -1, 0, 0, 0),
        (8, *known, "usd", _E12, 0, -nine, 1, 0, 0, -nine),
    ]
    assert records_count(store, acme) == 8


def test_what_is_not_stored_is_not_booked(store: Store, acme: Organization) -> None:
    """Duplicates and conflicts take no number."""
    recorder = Recorder(store)
    sent = [order("o"), order("o"), order("o", net_picocents=1)]
    back = [given_back("r", "o"), given_back("r", "o"), given_back("r", "o", fee_picocents=1)]
    for _ in range(2):
        recorder.orders(acme, sent)
        recorder.refunds(acme, back)
    assert [row["number"] for row in rows(store, ledger_entry, acme)] == [1, 2]
    assert records_count(store, acme) == 2


def test_a_subscription_takes_a_number_when_it_is_written(store: Store, acme: Organization) -> None:
    """Each state that is stored takes the next number, those that are not take none."""
    recorder = Recorder(store)
    recorder.orders(acme, [order("o")])
    recorder.subscriptions(acme, [state("s1"), state("s2")])
    recorder.subscriptions(acme, [state("s1"), state("s2", 3), state("s2", 2)])
    recorder.orders(acme, [order("o2")])
    assert [one["record_number"] for one in rows(store, subscription, acme)] == [2, 4]
    assert [row["number"] for row in rows(store, ledger_entry, acme)] == [1, 5]
    assert records_count(store, acme) == 5


def test_amounts_beyond_64_bits(store: Store, acme: Organization) -> None:
    """Entries hold the widest amounts exactly."""
    recorder = Recorder(store)
    recorder.refunds(acme, [given_back("r", "o", amount_picocents=10**27)])
    wide = order("o", net_picocents=10**27 - 1, fee_picocents=-(10**27))
    recorder.orders(acme, [wide])
    entries = rows(store, ledger_entry, acme)
    assert [one["net_revenue_picocents"] for one in entries] == [
        -(10**27),
        2 * 10**27 - 1,
        10**27,
        -(10**27),
    ]


@pytest.mark.slow
def test_recorders_at_once_leave_no_gap(store: Store, acme: Organization) -> None:
    """Processes that record at the same time share one row of numbers."""

    def record(process: int) -> None:
        with closing(Store(store.url.render_as_string(hide_password=False))) as own:
            recorder = Recorder(own)
            for n in range(10):
                name = f"{process} {n}"
                recorder.refunds(acme, [given_back(name, f"o{n}")])
                recorder.orders(acme, [order(f"o{n}"), order(name)])
                recorder.subscriptions(acme, [state(name)])

    with ThreadPoolExecutor(4) as processes:
        list(processes.map(record, range(4)))
    given = [row["number"] for row in rows(store, ledger_entry, acme)]
    given += [row["record_number"] for row in rows(store, subscription, acme)]
    assert sorted(given) == list(range(1, records_count(store, acme) + 1))
    assert summed(rows(store, ledger_entry, acme)) == expected(
        rows(store, paid_order, acme), rows(store, refund, acme)
    )


AMOUNTS = st.integers(-3, 3) | st.sampled_from([2_900 * CENT, 10**27])
IDS = st.sampled_from("abcd")
ORDERS = st.builds(
    order,
    IDS,
    customer=st.sampled_from("cd"),
    product_id=st.sampled_from(["", "p"]),
    subscription_id=st.sampled_from(["", "s"]),
    billing_type=st.sampled_from(["one_time", "recurring"]),
    currency=st.sampled_from(["usd", "eur"]),
    exchange_rate_e12=st.sampled_from([_E12, _E12 // 2]),
    net_picocents=AMOUNTS,
    applied_balance_picocents=AMOUNTS,
    fee_picocents=AMOUNTS,
    created_us=st.integers(0, 2),
    paid_us=st.integers(0, 2),
)
REFUNDS = st.builds(
    given_back,
    st.sampled_from("rstu"),
    IDS,
    kind=st.sampled_from(["refund", "refund_reversal", "dispute", "dispute_reversal"]),
    amount_picocents=st.integers(0, 3) | st.just(10**27),
    fee_picocents=AMOUNTS,
    created_us=st.integers(0, 2),
)
CALLS = st.lists(
    st.tuples(st.booleans(), st.lists(ORDERS, max_size=4), st.lists(REFUNDS, max_size=4)),
    max_size=5,
)


@hypothesis.given(CALLS)
@hypothesis.settings(max_examples=examples(0.4))
def test_sums_are_those_of_the_rows(
    store: Store, calls: list[tuple[bool, list[NewOrder], list[Refund]]]
) -> None:
    """Entries add up to the sums of the final rows, whatever comes first and however often."""
    owner = new_organization(store)
    recorder = Recorder(store)
    for orders_first, orders, refunds in calls:
        for _ in range(2):
            if orders_first:
                recorder.orders(owner, orders)
            recorder.refunds(owner, refunds)
            if not orders_first:
                recorder.orders(owner, orders)
    entries = rows(store, ledger_entry, owner)
    assert [one["number"] for one in entries] == list(range(1, records_count(store, owner) + 1))
    assert summed(entries) == expected(rows(store, paid_order, owner), rows(store, refund, owner))
