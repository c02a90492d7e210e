"""Writing events: each once, numbers without gaps, all of a transaction or nothing."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from cost_insights import identity
from cost_insights._native.ids import event_id
from cost_insights.events import EventWriter
from cost_insights.identity import Organization
from cost_insights.store import Store
from cost_insights.store.schema import batch, customer, event, organization, series
from cost_insights.v1 import event_pb2
from tests.reference import decoding
from tests.support.service import new_event
from tests.support.submissions import NOW_US, counts, insert, submission

MANY = 600
FEW = 200
"""PostgreSQL is given so many in either of two ways."""


def count(store: Store, table: sa.Table) -> int:
    """The number of rows of a table."""
    with store.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_a_row_is_what_plain_sql_expects(store: Store, acme: Organization) -> None:
    """Events are readable by plain SQL, with the same values on both engines."""
    sent = new_event(
        name="a",
        external_customer_id="c",
        external_id="k",
        parent_id="p",
        external_member_id="m",
        product_id="pro",
        cost="-45.5",
        llm={"vendor": "v", "model": "m", "input_tokens": 3},
    )
    sent.timestamp.FromJsonString("1969-12-31T23:59:59.999999Z")
    sent.metadata.update({"b": 1, "a": "ü"})
    insert(store, submission(acme, sent))
    with store.read() as connection:
        row = connection.execute(sa.select(event)).mappings().one()
        found_customer = connection.execute(sa.select(customer)).mappings().one()
        found_series = connection.execute(sa.select(series)).mappings().one()
    assert dict(row) == {
        "id": uuid.UUID(bytes=event_id(acme.id.bytes, "k")),
        "organization_number": acme.number,
        "series_number": found_series["number"],
        "customer_number": found_customer["number"],
        "timestamp_us": -1,
        "cost_picocents": -45_500_000_000_000,
        "content_digest": row["content_digest"],
        "parent_id": uuid.UUID(bytes=event_id(acme.id.bytes, "p")),
        "external_id": "k",
        "external_member_id": "m",
        "llm": {"input_tokens": 3, "output_tokens": 0, "total_tokens": 0},
        "metadata": {"a": "ü", "b": 1},
        "checksum": row["checksum"],
        "metadata_signature": decoding.metadata_signature({"a": "ü", "b": 1}),
    }
    assert row["checksum"] is not None
    assert (found_customer["external_id"], found_customer["created_us"]) == ("c", NOW_US)
    parts = ("event_name", "llm_vendor", "llm_model", "product_id")
    assert [found_series[part] for part in parts] == ["a", "v", "m", "pro"]


def test_many_are_stored_like_few(store: Store, acme: Organization) -> None:
    """The rows of events and their receipts are alike, however many events a transaction holds."""
    with store.write() as connection:
        other = identity.create_organization(connection, "other")

    def events(first: int, end: int) -> list[event_pb2.NewEvent]:
        return [
            new_event(
                external_id=f"k{n}",
                external_customer_id=f"c{n % 7}",
                external_member_id="m" if n % 2 else "",
                parent_id=f"k{n - 1}" if n % 3 else "",
                cost=f"{n}.5" if n % 5 else None,
                llm={"vendor": "v", "model": "ü"} if n % 4 else None,
            )
            for n in range(first, end)
        ]

    (many,) = insert(store, submission(acme, *events(0, MANY)))
    assert counts(many) == (MANY, 0, 0)
    for first in range(0, MANY, FEW):
        (few,) = insert(store, submission(other, *events(first, first + FEW)))
        assert counts(few) == (FEW, 0, 0)
    rows: dict[uuid.UUID, dict[str, object]] = {}
    unlike = {"id": None, "parent_id": None, "organization_number": None, "checksum": None}
    with store.read() as connection:
        for row in connection.execute(sa.select(event)).mappings():
            rows[row["id"]] = {**row, **unlike}
    for n in range(MANY):
        one, two = (
            rows[uuid.UUID(bytes=event_id(owner.id.bytes, f"k{n}"))] for owner in (acme, other)
        )
        assert one == two
    assert count(store, batch) == 1 + MANY // FEW
    (again,) = insert(store, submission(acme, *events(0, MANY + 1)))
    assert counts(again) == (1, MANY, 0)
    (again,) = insert(store, submission(other, *events(0, FEW), *events(MANY, MANY + 1)))
    assert counts(again) == (1, FEW, 0)


def test_duplicates_and_conflicts(store: Store, acme: Organization) -> None:
    """A duplicate or conflict is counted as such, in one transaction and across."""
    first = submission(acme, new_event(external_id="k", cost="1"), new_event(external_id="l"))
    (outcome,) = insert(store, first)
    assert counts(outcome) == (2, 0, 0)
    one, two = insert(
        store,
        submission(acme, new_event(external_id="k", cost="1"), new_event(external_id="n")),
        submission(acme, new_event(external_id="n"), new_event(external_id="k", cost="2")),
    )
    assert counts(one) == (1, 1, 0)
    assert counts(two) == (0, 1, 1)
    assert two.receipt is not None
    assert two.receipt.conflicts == [(1, "k", event_id(acme.id.bytes, "k"))]
    assert count(store, event) == 3


def test_an_unknown_customer_fails_its_own_request_only(store: Store, acme: Organization) -> None:
    """A request with an unknown `customer_id` stores nothing; its neighbours are stored."""
    unknown = str(uuid.uuid4())
    good, bad, partly = insert(
        store,
        submission(acme, new_event(external_customer_id="c1")),
        submission(acme, new_event(external_customer_id="c2"), new_event(customer_id=unknown)),
        submission(
            acme,
            new_event(external_customer_id="c3"),
            new_event(customer_id=unknown),
            accept_valid=True,
        ),
    )
    assert counts(good) == (1, 0, 0)
    assert bad.receipt is None
    assert [(fault.path, fault.reason) for fault in bad.batch.faults] == [
        ("events[1].customer_id", "CUSTOMER_NOT_FOUND")
    ]
    assert counts(partly) == (1, 0, 0)
    assert [fault.index for fault in partly.batch.faults] == [1]
    with store.read() as connection:
        known = set(connection.scalars(sa.select(customer.c.external_id)))
    assert known == {"c1", "c3"}
    assert count(store, event) == 2


def test_what_is_prepared_before_another_transaction_commits(
    store: Store, acme: Organization
) -> None:
    """Transactions that were prepared early number and store nothing twice."""
    first = [
        new_event(external_id=f"k{n}", external_customer_id=f"c{n % 2}", cost="1") for n in range(4)
    ]
    writer = EventWriter(store)
    # Neither knows a number yet.
    one, two = (writer.prepare([submission(acme, *first)]) for _ in range(2))
    assert counts(writer.write(one, now_us=NOW_US)[0]) == (4, 0, 0)
    assert counts(writer.write(two, now_us=NOW_US)[0]) == (0, 4, 0)
    # All numbers are known, and both hold a new event.
    second = [*first, new_event(external_id="k4", external_customer_id="c0", cost="1")]
    one, two = (writer.prepare([submission(acme, *second)]) for _ in range(2))
    assert counts(writer.write(one, now_us=NOW_US)[0]) == (1, 4, 0)
    assert counts(writer.write(two, now_us=NOW_US)[0]) == (0, 5, 0)
    assert count(store, event) == 5
    with store.read() as connection:
        numbers = connection.scalars(sa.select(customer.c.number).order_by(customer.c.number))
        assert list(numbers) == [0, 1]


@pytest.mark.slow
def test_numbers_have_no_gaps(store: Store, acme: Organization) -> None:
    """Customers and series are numbered from 0 on, each organization for itself."""
    with store.write() as connection:
        other = identity.create_organization(connection, "other")
    for start in range(0, 5_000, 1_250):
        events = [
            new_event(name=f"name {n % 50}", external_customer_id=f"c{n}")
            for n in range(start, start + 2_500)
        ]
        for owner in (acme, other):
            insert(store, submission(owner, *events))
    with store.read() as connection:
        for owner in (acme, other):
            for table, column, expected in (
                (customer, organization.c.customers_count, 6_250),
                (series, organization.c.series_count, 50),
            ):
                numbers = connection.scalars(
                    sa.select(table.c.number)
                    .where(table.c.organization_number == owner.number)
                    .order_by(table.c.number)
                )
                assert list(numbers) == list(range(expected))
                counted = sa.select(column).where(organization.c.number == owner.number)
                assert connection.execute(counted).scalar_one() == expected


def test_stores_that_write_at_once(database_url: str, store: Store, acme: Organization) -> None:
    """Several processes number the same customers the same, and store each event once."""
    stores = [Store(database_url) for _ in range(4)]

    def write(place: int) -> tuple[int, int, int]:
        totals = (0, 0, 0)
        for start in range(0, 400, 20):
            # Each begins somewhere else, so that they meet in every order.
            shifted = (start + 100 * place) % 400
            events = [
                new_event(external_id=f"k{n}", external_customer_id=f"c{n % 97}", cost="0.1")
                for n in range(shifted, shifted + 20)
            ]
            (outcome,) = insert(stores[place], submission(acme, *events))
            totals = tuple(map(sum, zip(totals, counts(outcome), strict=True)))  # type: ignore[assignment]
        return totals

    with ThreadPoolExecutor(len(stores)) as writers:
        found = list(writers.map(write, range(len(stores))))
    for one in stores:
        one.close()
    inserted, duplicates, conflicts = (sum(each) for each in zip(*found, strict=True))
    assert (inserted, duplicates, conflicts) == (400, 1_200, 0)
    assert count(store, event) == 400
    assert count(store, customer) == 97
    with store.read() as connection:
        numbers = connection.scalars(sa.select(customer.c.number).order_by(customer.c.number))
        assert list(numbers) == list(range(97))
        amounts = connection.scalars(sa.select(event.c.cost_picocents)).all()
    assert sum(one for one in amounts if one is not None) == 400 * 10**11


def test_the_same_external_id_in_two_organizations(store: Store, acme: Organization) -> None:
    """An external id belongs to its organization."""
    with store.write() as connection:
        other = identity.create_organization(connection, "other")
    outcomes = insert(
        store, *(submission(owner, new_event(external_id="k")) for owner in (acme, other))
    )
    assert [counts(outcome) for outcome in outcomes] == [(1, 0, 0), (1, 0, 0)]
    assert count(store, event) == 2
    with store.read() as connection:
        ids = connection.scalars(sa.select(customer.c.id)).all()
    assert len(set(ids)) == 2


def test_nothing_to_write(store: Store, acme: Organization) -> None:
    """An empty batch is well."""
    (outcome,) = insert(store, submission(acme))
    assert counts(outcome) == (0, 0, 0)
    assert count(store, event) == 0
