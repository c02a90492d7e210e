"""Old events go; sums stay, and what was pruned still counts once."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

import cost_insights.events.prune
from cost_insights.cells import Kind
from cost_insights.cli.checking import mend
from cost_insights.events import prune_events
from cost_insights.identity import list_organizations
from cost_insights.store import Store
from cost_insights.store.schema import batch, event, pruned_event, segment
from cost_insights.v1 import event_pb2, event_service_pb2
from tests.reference.costs import Tokens
from tests.support.events import event_at
from tests.support.facts import sent_call
from tests.support.segments import (
    START,
    Row,
    answers,
    checked,
    compact,
    damage,
    drop,
    the_first,
)
from tests.support.service import Caller, Service, StartServer, new_event, refused

BOUNDARY = datetime(2025, 1, 19, tzinfo=UTC)


@pytest.fixture
def service(start_server: StartServer, database_url: str) -> Iterator[Service]:
    """A server that leaves its batches as they are."""
    with start_server(database_url, compact=False) as service:
        yield service


def prune(store: Store, boundary: datetime = BOUNDARY) -> int:
    """Prunes the only organization; returns how many events are gone."""
    with store.read() as connection:
        (organization,) = list_organizations(connection)
    pruned: list[int] = []
    before_us = int(boundary.timestamp()) * 1_000_000
    prune_events(store, organization.number, before_us, on_pruned=pruned.append)
    return sum(pruned)


def keyed(count: int = 12, *, cost: str = "1.5") -> list[event_pb2.NewEvent]:
    """Events that can be sent again."""
    return [
        event_at(
            START + timedelta(days=9 * n),
            external_id=f"k{n}",
            cost=cost,
            llm=sent_call("openai", "gpt-4o", Tokens(1_000 + n, n, 0, 10 * n)),
        )
        for n in range(count)
    ]


def streamed(caller: Caller) -> event_service_pb2.IngestEventsResponse:
    """Sends a batch of a stream, always the same."""
    request = event_service_pb2.StreamEventsRequest(
        stream_id="s",
        sequence=1,
        batch=event_service_pb2.IngestEventsRequest(events=[event_at(START, cost="2")]),
    )
    (answer,) = caller.events.StreamEvents(iter([request]), timeout=30)
    return answer.batch


@pytest.mark.slow
@pytest.mark.parametrize("compacted", [False, True], ids=["pending", "compacted"])
def test_metrics_stay_and_events_go(service: Service, compacted: bool) -> None:
    """Pruned events can be neither fetched nor listed; every metric is what it was."""
    caller = service.stranger()
    caller.ingest(*keyed(), event_at(START, external_customer_id="c0", cost="0.1"))
    if compacted:
        compact(service.store)
    expected = answers(caller)
    oldest = caller.list_events()[-1]
    assert checked(service.store).pruned_before_us is None
    assert prune(service.store) == 4
    assert len(caller.list_events()) == 13 - 4
    assert checked(service.store).events_before == 4
    with refused("EVENT_NOT_FOUND"):
        caller.get_event(oldest.id)
    assert answers(caller) == expected
    assert checked(service.store).is_right
    compact(service.store)
    assert answers(caller) == expected
    assert checked(service.store).is_right


def test_what_was_pruned_counts_once(service: Service) -> None:
    """Sent again after it was pruned, the same event is a duplicate and another one a
    conflict; nothing is counted, however it is mixed with what is new."""
    caller = service.stranger()
    caller.ingest(*keyed())
    streamed(caller)
    caller.ingest(event_at(START, cost="7"))
    assert prune(service.store) == 5
    expected = answers(caller)
    again = caller.ingest(*keyed())
    assert (again.inserted, again.duplicates, len(again.conflicts)) == (0, 12, 0)
    assert (streamed(caller).inserted, streamed(caller).duplicates) == (0, 1)
    changed = caller.ingest(*keyed(1, cost="9"))
    assert [(one.index, one.external_id) for one in changed.conflicts] == [(0, "k0")]
    assert answers(caller) == expected
    mixed = caller.ingest(*keyed(13))
    assert (mixed.inserted, mixed.duplicates) == (1, 12)
    assert checked(service.store).is_right
    with service.store.read() as connection:
        # Nobody can send the event without a key again.
        kept = connection.scalar(sa.select(sa.func.count()).select_from(pruned_event))
    assert kept == 4


def test_sending_again_while_it_prunes(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who sends events again in the very moment in which they are pruned adds nothing."""
    monkeypatch.setattr(cost_insights.events.prune, "_EVENTS_AT_ONCE", 10)
    caller = service.stranger()
    events = [
        event_at(START + timedelta(seconds=n), external_id=f"k{n}", cost="0.1")
        for n in range(1_000)
    ]
    caller.ingest(*events)
    expected = answers(caller)
    pruned = threading.Event()
    inserted: list[int] = []

    def send_again() -> None:
        while True:
            is_last = pruned.is_set()
            # The next ones to go: all of a request must be pruned at once to get through.
            with service.store.read() as connection:
                first_us = connection.scalar(sa.select(sa.func.min(event.c.timestamp_us)))
            place = 0 if first_us is None else first_us // 1_000_000 - int(START.timestamp())
            inserted.append(caller.ingest(*events[place : place + 2]).inserted)
            if is_last:
                return

    with ThreadPoolExecutor(2) as senders:
        sending = [senders.submit(send_again) for _ in range(2)]
        try:
            assert prune(service.store) == 1_000
        finally:
            pruned.set()
    for one in sending:
        one.result()
    assert sum(inserted) == 0
    assert answers(caller) == expected
    assert checked(service.store).is_right


def test_others_look_for_nothing(service: Service) -> None:
    """If nothing was pruned, an event that happens to be in the list is stored as ever."""
    caller = service.stranger()
    caller.ingest(*keyed(1))
    with service.store.write() as connection:
        row = connection.execute(sa.select(event)).one()
        connection.execute(sa.insert(pruned_event).values(id=row.id, content_digest=1))
        connection.execute(sa.delete(event))
    assert caller.ingest(*keyed(1)).inserted == 1


def test_late_events_and_further_pruning(service: Service) -> None:
    """Events of pruned time that come late count, and go with the next pruning."""
    caller = service.stranger()
    caller.ingest(*keyed())
    compact(service.store)
    prune(service.store)
    late = new_event(cost="0.25", external_id="late")
    late.timestamp.FromDatetime(START - timedelta(days=20))
    assert caller.ingest(late).inserted == 1
    assert checked(service.store).is_right
    compact(service.store)
    assert checked(service.store).is_right
    # Nothing proves those that come late either.
    assert checked(service.store).events_before == 3 + 1
    expected = answers(caller)
    # Pruning up to an earlier time changes nothing about the boundary.
    assert prune(service.store, START - timedelta(days=30)) == 0
    assert prune(service.store, BOUNDARY + timedelta(days=40)) == 1 + 4
    assert caller.ingest(late).duplicates == 1
    assert answers(caller) == expected
    assert checked(service.store).is_right


@pytest.mark.slow
def test_mending_keeps_what_is_pruned(service: Service) -> None:
    """Segments of pruned time are mended from customers' quarters of an hour, others from
    the events, also in the month of both."""
    caller = service.stranger()
    caller.ingest(*keyed())
    compact(service.store)
    prune(service.store)
    expected = answers(caller)
    for kind in Kind:
        with service.store.write() as connection:
            gone = segment.c.kind == kind
            if kind in {Kind.CUSTOMER_QUARTERS, Kind.CUSTOMER_TOKEN_QUARTERS}:
                gone &= segment.c.span > 12 * 55
            connection.execute(sa.delete(segment).where(gone))
        findings = checked(service.store)
        assert findings.differing
        assert mend(service.store, findings)
        assert checked(service.store).is_right
        assert answers(caller) == expected


@pytest.mark.parametrize("change", [damage, drop])
@pytest.mark.parametrize("kind", [Kind.CUSTOMER_QUARTERS, Kind.CUSTOMER_TOKEN_QUARTERS])
def test_what_is_lost_stays_as_it_is(
    service: Service, kind: Kind, change: Callable[[sa.Connection, Row], None]
) -> None:
    """The loss of a segment whose contents nothing else tells is reported, and everyone's cells are
    left alone."""
    caller = service.stranger()
    caller.ingest(*keyed())
    compact(service.store)
    prune(service.store)
    with service.store.write() as connection:
        change(connection, the_first(connection, kind))
        before = connection.execute(sa.select(segment).order_by(segment.c.id)).all()
    findings = checked(service.store)
    assert findings.differing
    assert not mend(service.store, findings)
    with service.store.read() as connection:
        assert connection.execute(sa.select(segment).order_by(segment.c.id)).all() == before


def test_a_damaged_batch_of_pruned_time(service: Service) -> None:
    """A batch that cannot be read may hold the cells of pruned events: it is left alone."""
    service.stranger().ingest(*keyed())
    prune(service.store)
    with service.store.write() as connection:
        connection.execute(sa.update(batch).values(cells=b"", id=uuid.uuid4()))
    findings = checked(service.store)
    assert len(findings.damaged) == 1
    assert not mend(service.store, findings)
    assert checked(service.store).damaged == findings.damaged
