"""Stored cells are proven against the events, and mended while everything goes on."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from cost_insights._native.cells import derive_segments, derive_token_segments, verify_rows
from cost_insights.cells import Kind, pending_batches
from cost_insights.cli.checking import KINDS, check, in_words, mend
from cost_insights.store import Store
from cost_insights.store.schema import batch, event, segment
from tests.support.events import event_at
from tests.support.segments import (
    SPAN,
    START,
    Row,
    answers,
    checked,
    compact,
    damage,
    drop,
    fill,
    the_first,
)
from tests.support.service import Service, StartServer


@pytest.fixture
def service(start_server: StartServer, database_url: str) -> Iterator[Service]:
    """A server that leaves its batches as they are."""
    with start_server(database_url, compact=False) as service:
        yield service


def test_right_in_any_state(service: Service) -> None:
    """Nothing differs without events, before, between and after compactions."""
    caller = service.stranger()
    assert check(service.store, [], differences_max=20) == []
    events = 0
    for name in ("a", "b"):
        for step in (lambda _: None, compact):
            fill(caller, name=name)
            events += 12
            step(service.store)
            findings = checked(service.store)
            assert (findings.events, findings.differing) == (events, 0)
            assert findings.is_right
    assert findings.cells > 9 * 4


def double(connection: sa.Connection, row: Row) -> None:
    """A row is there twice."""
    connection.execute(sa.insert(segment).values({**row, "id": uuid.uuid4()}))


def misname(connection: sa.Connection, row: Row) -> None:
    """A row becomes of a kind that there is not."""
    connection.execute(sa.update(segment).where(segment.c.id == row["id"]).values(kind=42))


def misplace(connection: sa.Connection, row: Row) -> None:
    """A row moves to where nobody looks."""
    span = 2**31 - 1
    connection.execute(sa.update(segment).where(segment.c.id == row["id"]).values(span=span))


def cells(*costs_picocents: int, customer: int = 0) -> bytes:
    """The packed cells of events of the first quarter."""
    at_us = int(START.timestamp()) * 1_000_000
    absent = (None,) * 4
    numbers = (bytes(16), 1, 0, customer, at_us)
    rows = [(*numbers, cost, 0, *absent, "{}", None, None) for cost in costs_picocents]
    packed, *_ = verify_rows(list[tuple[object, ...]](rows))
    return packed


def add(connection: sa.Connection, row: Row) -> None:
    """A customer is where it was not, with an event or a token that nobody sent."""
    derive = derive_token_segments if Kind(row["kind"]).layout.is_of_tokens else derive_segments
    for kind, span, packed in derive([cells(1, customer=1)], taken_back=[]):
        if (kind, span) == (row["kind"], row["span"]):
            added = {**row, "id": uuid.uuid4(), "packed": packed}
            connection.execute(sa.insert(segment).values(added))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
def test_what_differs_is_found_and_mended(service: Service, kind: Kind) -> None:
    """Any damage to a segment of any kind is found, named and mended."""
    caller = service.stranger()
    fill(caller)
    compact(service.store)
    fill(caller, name="email.sent")
    expected = answers(caller)
    for change in (drop, double, damage, misplace, misname, add):
        with service.store.write() as connection:
            change(connection, the_first(connection, kind))
        findings = checked(service.store)
        is_activity = kind in {
            Kind.QUARTER_CUSTOMERS,
            Kind.DAY_CUSTOMERS,
            Kind.DAY_EVERYONE,
            Kind.HOUR_EVERYONE,
        }
        # Sets of customers stay what they are if they are united with themselves.
        if not (is_activity and change is double):
            assert not findings.is_right, change.__name__
        assert bool(findings.damaged) == (change in {damage, misplace, misname})
        assert {one["kind"] for one in findings.differences} <= {KINDS[kind]}
        mend(service.store, findings)
        assert checked(service.store).is_right, change.__name__
        assert answers(caller) == expected


def rewrite_first(
    store: Store, kind: Kind, derived: Callable[[bytes], Iterable[tuple[int, int, bytes]]]
) -> None:
    """Replaces the first segment of a kind by the one that is derived from its content."""
    with store.write() as connection:
        row = the_first(connection, kind)
        (packed,) = [one for found, _, one in derived(row["packed"]) if found == kind]
        connection.execute(
            sa.update(segment).where(segment.c.id == row["id"]).values(packed=packed)
        )


def test_one_picocent(service: Service) -> None:
    """The least that can differ is told in words, to the last digit."""
    caller = service.stranger()
    fill(caller)
    compact(service.store)
    rewrite_first(
        service.store,
        Kind.CUSTOMER_QUARTERS,
        lambda packed: derive_segments([packed, cells(1)], taken_back=[cells(0)]),
    )
    findings = checked(service.store)
    (words,) = map(in_words, findings.differences)
    assert words == (
        "default, customers' quarters of an hour, 2024-12-31T23:45:00Z, "
        "external_customer_id 'c0', event_name 'llm.inference', llm_vendor 'openai', "
        "llm_model 'gpt-4o': "
        "stored 1 events, 0.500000000001 cents; expected 1 events, 0.5 cents"
    )
    assert (findings.differing, findings.wrong_months) == (1, [12 * 54 + 11])


def test_one_token(service: Service) -> None:
    """A token too many is told in words, by what it is."""
    fill(service.stranger())
    compact(service.store)
    rewrite_first(
        service.store,
        Kind.CUSTOMER_TOKEN_QUARTERS,
        lambda packed: derive_token_segments([packed, cells(1)], taken_back=[]),
    )
    findings = checked(service.store)
    (words,) = map(in_words, findings.differences)
    assert words == (
        "default, customers' tokens of quarters of an hour, 2024-12-31T23:45:00Z, "
        "external_customer_id 'c0', event_name 'llm.inference', llm_vendor 'openai', "
        "llm_model 'gpt-4o', measure 'input': "
        "stored 2 events, 2 tokens; expected 1 events, 1 tokens"
    )


def test_few_differences_are_shown_and_all_are_counted(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines shown are as many as were asked for, however much differs."""
    fill(service.stranger())
    compact(service.store)
    with service.store.write() as connection:
        connection.execute(sa.delete(segment))
    findings = checked(service.store, differences_max=7)
    assert len(findings.differences) == 7
    assert findings.differing == findings.cells > 7
    assert mend(service.store, findings)
    assert checked(service.store).is_right
    # Nobody was waited for, not even this program's own last month.
    assert capsys.readouterr().err == ""


def test_a_damaged_batch(service: Service) -> None:
    """A batch that cannot be read is named; its events get their cells anew."""
    caller = service.stranger()
    fill(caller)
    expected = answers(caller)
    with service.store.write() as connection:
        connection.execute(sa.update(batch).values(cells=b"\x09", id=uuid.uuid4()))
        batch_id = connection.execute(sa.select(batch.c.id)).scalar_one()
    findings = checked(service.store)
    assert findings.damaged == [f"batch {batch_id}"]
    assert mend(service.store, findings)
    assert checked(service.store).is_right
    assert answers(caller) == expected


def test_events_that_are_gone(service: Service) -> None:
    """Events that plain SQL deletes or changes are noticed, and cells keep their sums, which are
    intact, until somebody accepts the loss."""
    caller = service.stranger()
    fill(caller)
    compact(service.store)
    expected = answers(caller)
    with service.store.write() as connection:
        ids = connection.scalars(sa.select(event.c.id).order_by(event.c.timestamp_us)).all()
        connection.execute(sa.delete(event).where(event.c.id == ids[0]))
        connection.execute(
            sa.update(event).where(event.c.id == ids[1]).values(cost_picocents=10**12)
        )
    findings = checked(service.store)
    assert (findings.damaged_events, findings.missing_events, findings.differing) == (1, 2, 0)
    assert findings.losses == []
    assert mend(service.store, findings)
    assert answers(caller) == expected
    assert mend(service.store, findings, accept_loss=True)
    again = checked(service.store)
    assert (again.damaged_events, again.missing_events, again.differing) == (1, 0, 0)
    assert answers(caller) != expected
    with service.store.write() as connection:
        connection.execute(sa.delete(event).where(event.c.id == ids[1]))
    assert checked(service.store).is_right


@pytest.mark.parametrize("kind", [Kind.QUARTERS, Kind.DAYS, Kind.CUSTOMER_QUARTERS])
def test_damaged_events_beside_damaged_cells(service: Service, kind: Kind) -> None:
    """Where events are damaged, customers' cells mend the others; without them, nothing is
    rewritten unless the loss is accepted."""
    caller = service.stranger()
    fill(caller)
    compact(service.store)
    expected = answers(caller)
    with service.store.write() as connection:
        connection.execute(sa.update(event).values(cost_picocents=event.c.cost_picocents + 1))
        damage(connection, the_first(connection, kind))
    findings = checked(service.store)
    assert findings.damaged_events == 12
    assert bool(findings.losses) == (kind is Kind.CUSTOMER_QUARTERS)
    assert mend(service.store, findings) == (kind is not Kind.CUSTOMER_QUARTERS)
    again = checked(service.store)
    assert bool(again.damaged) == (kind is Kind.CUSTOMER_QUARTERS)
    if kind is Kind.CUSTOMER_QUARTERS:
        assert mend(service.store, findings, accept_loss=True)
        assert answers(caller) != expected
    else:
        assert answers(caller) == expected


def test_events_of_earlier_versions(service: Service) -> None:
    """Events without a checksum count as unverified, not as damaged. They mend cells that are
    damaged, or that others contradict, but never replace what is intact."""
    caller = service.stranger()
    fill(caller)
    compact(service.store)
    expected = answers(caller)
    with service.store.write() as connection:
        connection.execute(sa.update(event).values(checksum=None, metadata_signature=None))
    assert checked(service.store).unverified == 12
    assert checked(service.store).is_right
    for kind, change in ((Kind.DAYS, add), (Kind.CUSTOMER_QUARTERS, damage)):
        with service.store.write() as connection:
            change(connection, the_first(connection, kind))
        assert mend(service.store, checked(service.store))
        assert checked(service.store).is_right
        assert answers(caller) == expected
    with service.store.write() as connection:
        first = sa.select(sa.func.min(event.c.timestamp_us)).scalar_subquery()
        connection.execute(
            sa.update(event)
            .where(event.c.timestamp_us == first)
            .values(cost_picocents=event.c.cost_picocents + 1)
        )
    findings = checked(service.store)
    assert findings.kept_months == findings.wrong_months != []
    assert not mend(service.store, findings, accept_loss=True)
    assert answers(caller) == expected


def wait_until_compacted(store: Store) -> None:
    """Waits for the service's own compaction."""
    give_up = time.monotonic() + 30
    while pending_batches(store):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_mending_while_everything_goes_on(start_server: StartServer, database_url: str) -> None:
    """While a command mends, events come, are compacted and are asked for, and no total is
    ever wrong: the month that is lost is missing as a whole until it is there as a whole."""
    with start_server(database_url) as service, closing(Store(database_url)) as command:
        caller = service.stranger()
        fill(caller)
        whole = sum(10 * n + 5 for n in range(12))
        lost = sum(10 * n + 5 for n in (1, 2, 3))
        wait_until_compacted(service.store)
        with service.store.write() as connection:
            connection.execute(
                sa.delete(segment).where(
                    segment.c.kind == Kind.CUSTOMER_QUARTERS, segment.c.span == 12 * 55
                )
            )
        sent = acknowledged = 0
        stopping = threading.Event()
        faults: list[str] = []

        def ingest() -> None:
            nonlocal sent, acknowledged
            while not stopping.is_set():
                sent += 1
                moment = START + timedelta(days=sent % 100)
                caller.ingest(event_at(moment, external_customer_id="c1", cost="0.000001"))
                acknowledged += 1

        def ask(customers: list[str]) -> None:
            while not stopping.is_set():
                before = acknowledged
                answer = caller.get_metrics(**SPAN, external_customer_ids=customers)
                # Tenths of a cent are of the events from before.
                old, new = divmod(Decimal(answer.totals.costs).scaleb(1), 1)
                allowed = {whole - lost, whole} if customers else {whole}
                if old not in allowed or not before <= new.scaleb(5) <= sent:
                    faults.append(f"{customers}: {answer.totals.costs}, {before} to {sent}")

        threads = [
            threading.Thread(target=ingest),
            threading.Thread(target=ask, args=([],)),
            threading.Thread(target=ask, args=(["c0", "c1", "c2"],)),
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                mend(command, checked(command))
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        assert faults == []
        assert checked(command).is_right
