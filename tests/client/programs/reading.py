"""A program that reads what is stored, by coroutines."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import assert_type

from cost_insights.client import (
    AsyncClient,
    AsyncRecords,
    Checkout,
    Client,
    CostFilter,
    CostRow,
    Event,
    EventFilter,
    EventName,
    ExportFormat,
    GroupBy,
    Interval,
    IntervalLimits,
    Llm,
    MetadataFilter,
    Metric,
    MetricsAnswer,
    MetricsGroup,
    MetricsLimits,
    MetricsPeriod,
    MetricType,
    Money,
    Order,
    Question,
    Records,
    Refund,
    RevenueFilter,
    Seat,
    Subscription,
    SubscriptionFilter,
    UnattributedCosts,
)

FORMAT: ExportFormat = "focus"
BY: GroupBy = "customer"
EACH: Interval = "hour"
HOURS: Question = {
    "start": datetime.date(2026, 1, 1),
    "end": "2026-01-07",
    "interval": EACH,
    "group_by": BY,
}


async def metrics(client: AsyncClient) -> Decimal | int:
    """Reads the costs of each customer, and the limits."""
    answer: MetricsAnswer = await client.metrics(**HOURS)
    groups: tuple[MetricsGroup, ...] = answer.groups
    first: MetricsPeriod = groups[0].periods[0]
    assert_type(first.values, Mapping[str, Decimal | int])
    computed: Metric = answer.metrics[0]
    kind: MetricType = computed.type
    unknown: UnattributedCosts | None = answer.unattributed
    rows = [part async for part in client.export(export_format=FORMAT, start="a", end="b")]
    assert_type(rows, list[str])
    limits: MetricsLimits = await client.metrics_limits()
    longest: IntervalLimits = limits.intervals["hour"]
    return answer.totals["costs"] if unknown is None else len(kind) + longest.max_days


def tables(client: Client) -> Decimal:
    """Tables, for which no package has to be there."""
    client.metrics(**HOURS).to_pandas()
    wanted: CostFilter = {"start": "2026-11-01", "end": "2026-11-30", "timezone": "Asia/Kathmandu"}
    rows: Records[CostRow] = client.list_costs(**wanted)
    rows.to_polars()
    return sum((row.cost for row in rows), Decimal(0))


async def events(client: AsyncClient) -> str:
    """Reads events and their names."""
    codec: MetadataFilter = {"key": "codec", "values": ["av1"]}
    wanted: EventFilter = {"llm_vendors": ["openai"], "metadata": [codec]}
    found: list[Event] = [event async for event in client.list_events(**wanted)]
    assert_type(found[0].cost, Decimal | None)
    llm: Llm | None = (await client.get_event(found[0].id)).llm
    names: list[EventName] = [name async for name in client.list_event_names("llm")]
    return llm.model if llm is not None else names[0].name


async def revenue(
    client: AsyncClient, wanted: RevenueFilter, subscribed: SubscriptionFilter
) -> Money:
    """Reads every record of revenue."""
    listed: AsyncRecords[Order] = client.list_orders(**wanted)
    orders: list[Order] = [one async for one in listed]
    refunds: list[Refund] = [one async for one in client.list_refunds(**wanted)]
    seats: list[Seat] = [one async for one in client.list_seats(**wanted)]
    checkouts: list[Checkout] = [one async for one in client.list_checkouts(**wanted)]
    started: list[Subscription] = [one async for one in client.list_subscriptions(**subscribed)]
    assert_type(started[0].ended_time, datetime.datetime | None)
    assert_type(checkouts[0].created_time, datetime.datetime)
    return refunds[0].amount if seats else orders[0].net_amount
