"""Packed cells, as the transaction that stores events makes them."""

from collections.abc import Iterable

import sqlalchemy as sa

from cost_insights._native.commit import Commit
from cost_insights._native.events import Limits, decode_events
from cost_insights.cells.batches import new_batches
from cost_insights.store import Store
from cost_insights.store.schema import batch
from cost_insights.v1 import event_service_pb2
from tests.reference.costs import Tokens
from tests.support.facts import sent_call
from tests.support.service import new_event, now_us

LIMITS = Limits(events_max=100_000)


def packed_cells(events: Iterable[tuple[int, int, int, str]]) -> bytes:
    """The packed cells of events: (seconds since 1970, customer number, series number, cents)."""
    cells, tokens = _packed((*event, None) for event in events)
    assert tokens is None
    return cells


def packed_tokens(events: Iterable[tuple[int, int, int, Tokens]]) -> bytes:
    """The packed cells of the tokens of events, which are given likewise."""
    _, tokens = _packed((*event[:3], "0", event[3]) for event in events)
    assert tokens is not None
    return tokens


def _packed(
    events: Iterable[tuple[int, int, int, str, Tokens | None]],
) -> tuple[bytes, bytes | None]:
    request = event_service_pb2.IngestEventsRequest()
    for seconds, customer, series, cents, tokens in events:
        one = new_event(name=str(series), external_customer_id=str(customer), cost=cents)
        if tokens is not None:
            one.llm.CopyFrom(sent_call("openai", "gpt-4o", tokens))
        # Less than a microsecond is not kept, but all zeros are refused.
        one.timestamp.seconds, one.timestamp.nanos = seconds, 1
        request.events.append(one)
    events_ = decode_events(
        request.SerializeToString(),
        organization_id=bytes(16),
        now_us=now_us(),
        entropy=bytes(32),
        limits=LIMITS,
    )
    assert not events_.faults
    customers = [int(text) for text in events_.external_customer_ids]
    series_numbers = [int(name) for name, *_ in events_.series]
    ((_, cells, of_tokens),) = Commit([(events_, 1, customers, series_numbers)]).cells()
    return cells, of_tokens


def add_batches(store: Store, organization_number: int, *batches: bytes) -> None:
    """Stores packed cells as if events had come."""
    with store.write() as connection:
        cells = [(organization_number, packed, None) for packed in batches]
        rows = [one._asdict() for one in new_batches(cells, now_us=now_us())]
        connection.execute(sa.insert(batch), rows)
