"""Events of several months, what is compacted of them, and how that gets damaged."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cost_insights import cells
from cost_insights.cells import Kind, pending_batches
from cost_insights.cli.checking import Findings, check
from cost_insights.identity import list_organizations
from cost_insights.store import Store
from cost_insights.store.schema import segment
from cost_insights.v1 import metrics_service_pb2
from tests.reference.costs import Tokens
from tests.support.events import event_at
from tests.support.facts import sent_call
from tests.support.service import Caller

Row = Mapping[str, Any]

START = datetime(2024, 12, 31, 23, 59, tzinfo=UTC)
SPAN = {"start_date": "2024-12-01", "end_date": "2025-04-30"}


def fill(caller: Caller, *, name: str = "llm.inference") -> None:
    """Sends events of two years, four months and three customers."""
    caller.ingest(
        *(
            event_at(
                START + timedelta(days=9 * n),
                name=name,
                external_customer_id=f"c{n % 3}",
                cost=f"{n}.5",
                llm=sent_call("openai", "gpt-4o", Tokens(100 * n + 1, n, 0, n % 4)),
            )
            for n in range(12)
        )
    )


def compact(store: Store) -> None:
    """Makes segments of all batches."""
    for waiting in pending_batches(store):
        while cells.compact(store, [waiting.organization_number]):
            pass


def checked(store: Store, *, differences_max: int = 100) -> Findings:
    """The findings of a check of the only organization."""
    with store.read() as connection:
        organizations = list_organizations(connection)
    (findings,) = check(store, organizations, differences_max=differences_max)
    return findings


def answers(caller: Caller) -> list[metrics_service_pb2.GetMetricsResponse]:
    """Answers that need segments of every kind."""
    return [
        caller.get_metrics(
            **SPAN,
            timezone=zone,
            interval=interval,
            external_customer_ids=customers,
            event_names=names,
            group_by=group_by,
        )
        for zone in ("UTC", "Asia/Kathmandu")
        for interval in (metrics_service_pb2.INTERVAL_DAY, metrics_service_pb2.INTERVAL_YEAR)
        for customers in ((), ("c0", "c2"))
        for names in ((), ("llm.inference",))
        for group_by in (
            metrics_service_pb2.GROUP_BY_UNSPECIFIED,
            metrics_service_pb2.GROUP_BY_CUSTOMER,
        )
    ]


def the_first(connection: sa.Connection, kind: Kind) -> Row:
    """The earliest stored segment of a kind."""
    statement = sa.select(segment).where(segment.c.kind == kind).order_by(segment.c.span).limit(1)
    return dict(connection.execute(statement).mappings().one())


def drop(connection: sa.Connection, row: Row) -> None:
    """A row gets lost."""
    connection.execute(sa.delete(segment).where(segment.c.id == row["id"]))


def damage(connection: sa.Connection, row: Row) -> None:
    """A byte changes."""
    packed = bytearray(row["packed"])
    packed[0] ^= 0x40
    connection.execute(
        sa.update(segment).where(segment.c.id == row["id"]).values(packed=bytes(packed))
    )
