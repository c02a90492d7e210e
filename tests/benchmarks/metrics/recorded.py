"""Revenue beside the events of a database, recorded through the service's own door."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import psycopg
from rich.console import Console
from rich.progress import track

from cost_insights.v1.revenue_service_pb2 import (
    RecordOrdersRequest,
    RecordOrdersResponse,
    RecordRefundsRequest,
    RecordRefundsResponse,
    RecordSubscriptionsRequest,
)
from cost_insights.v1.revenue_service_pb2_grpc import RevenueServiceStub
from tests.benchmarks.metrics.questions import exact_sum
from tests.benchmarks.metrics.revenue_data_set import Orders, Refunds, RevenueDataSet, Subscriptions
from tests.benchmarks.metrics.stored import Stored
from tests.benchmarks.processes import service
from tests.benchmarks.results import UnequalError, check_equal
from tests.support.postgresql import libpq_url

REQUEST_RECORDS = 1_000
PART_REQUESTS = 20
"""The number of requests that are held at a time."""

CALLS_IN_FLIGHT = 8
CALL_SECONDS_MAX = 60


@dataclass(frozen=True)
class Recorded:
    """A database on PostgreSQL with events and everything that was earned."""

    stored: Stored
    revenue: RevenueDataSet
    orders_seconds: float | None
    """The time it took to record the orders; None where they were there already."""


@dataclass(frozen=True)
class Content:
    """The contents of the tables of a database, by SQL. Amounts are picocents of usd."""

    orders: int
    orders_net_picocents: int
    refunds: int
    refunds_net_picocents: int
    subscriptions: int
    ledger_net_picocents: int


_CONTENT = """
    SELECT
        (SELECT count(*) FROM paid_order),
        (SELECT coalesce(sum(net_usd_picocents - fee_picocents), 0) FROM paid_order),
        (SELECT count(*) FROM refund),
        (SELECT coalesce(sum(adjustment_usd_picocents - fee_picocents), 0) FROM refund),
        (SELECT count(*) FROM subscription),
        (SELECT coalesce(sum(net_revenue_picocents), 0) FROM ledger_entry)
"""


def recorded(stored: Stored, revenue: RevenueDataSet) -> Recorded:
    """Records everything unless it is there; what was cut short is sent again, and counts once."""
    expected = _expected(revenue)
    seconds = None
    if _content(stored.url) != expected:
        with service(stored.url) as server, grpc.insecure_channel(server.address) as channel:
            seconds = _record(RevenueServiceStub(channel), revenue)
    check_equal("orders, refunds and subscriptions stored", _content(stored.url), expected)
    with _connection(stored.url) as connection:
        connection.execute("VACUUM ANALYZE")
    return Recorded(stored, revenue, seconds)


def _record(stub: Any, revenue: RevenueDataSet) -> float:
    """Returns how long it took to record the orders."""
    # Before later states replace those of subscriptions that are kept.
    first = next(revenue.orders.records())
    _check_unconflicted(stub.RecordOrders(RecordOrdersRequest(orders=[first.message()])))
    _send(
        "subscriptions",
        revenue.subscriptions,
        lambda some: RecordSubscriptionsRequest(subscriptions=some),
        stub.RecordSubscriptions,
    )
    seconds = _send(
        "orders", revenue.orders, lambda some: RecordOrdersRequest(orders=some), stub.RecordOrders
    )
    _send(
        "refunds",
        revenue.refunds,
        lambda some: RecordRefundsRequest(refunds=some),
        stub.RecordRefunds,
    )
    return seconds


def _send(
    what: str,
    table: Orders | Refunds | Subscriptions,
    request: Callable[[Sequence[Any]], Any],
    call: Callable[..., Any],
) -> float:
    """Returns how long the calls took, without the time in which they were prepared."""
    seconds = 0.0

    def record(one: Any) -> None:
        answer = call(one, timeout=CALL_SECONDS_MAX)
        if what != "subscriptions":
            _check_unconflicted(answer)

    with ThreadPoolExecutor(CALLS_IN_FLIGHT) as pool:
        records = REQUEST_RECORDS * PART_REQUESTS
        for part in track(
            _parts(table, request),
            f"recording {len(table):,} {what}",
            total=-(-len(table) // records),
            console=Console(stderr=True),
        ):
            start = time.perf_counter()
            for _ in pool.map(record, part):
                pass
            seconds += time.perf_counter() - start
    return seconds


def _check_unconflicted(answer: RecordOrdersResponse | RecordRefundsResponse) -> None:
    if answer.conflicts:
        raise UnequalError("the database holds what was earned in another data set")


def _parts(
    table: Orders | Refunds | Subscriptions, request: Callable[[Sequence[Any]], Any]
) -> Iterator[Sequence[Any]]:
    """The requests that record all of it, some at a time."""
    messages = (record.message() for record in table.records())
    requests = (
        request(list(itertools.islice(messages, REQUEST_RECORDS)))
        for _ in range(0, len(table), REQUEST_RECORDS)
    )
    while part := list(itertools.islice(requests, PART_REQUESTS)):
        yield part


def _expected(revenue: RevenueDataSet) -> Content:
    orders, refunds = revenue.orders, revenue.refunds
    orders_net = exact_sum(orders.net_usd_picocents) - exact_sum(orders.fees_picocents)
    refunds_net = exact_sum(refunds.net_picocents)
    return Content(
        len(orders),
        orders_net,
        len(refunds),
        refunds_net,
        len(revenue.subscriptions),
        orders_net + refunds_net,
    )


def _content(url: str) -> Content:
    with _connection(url) as connection:
        row = connection.execute(_CONTENT).fetchone()
    assert row is not None
    return Content(*map(int, row))


def _connection(url: str) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(libpq_url(url), autocommit=True)
