"""Answering a question: from facts in the database to metrics per period."""

import asyncio
import datetime
import difflib
import functools
import re
import zoneinfo
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import sqlalchemy as sa

from cost_insights import _native
from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.identity import Organization
from cost_insights.metrics.limits import LIMITS
from cost_insights.metrics.periods import DATE_MAX, DATE_MIN, Interval, Periods, periods_of
from cost_insights.metrics.slugs import METRICS, Facts, Metric
from cost_insights.store import EventFilter, Store
from cost_insights.store.schema import event

_FETCHED_ROWS = 20_000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class MetricsQuestion:
    """What a caller wants to know, checked."""

    start: datetime.date
    end: datetime.date
    zone: zoneinfo.ZoneInfo
    interval: Interval
    metrics: Sequence[Metric]
    filter: EventFilter


@dataclass(frozen=True)
class MetricsAnswer:
    """Numbers per period: picocents, or counts where the metric's type is scalar."""

    starts: Sequence[datetime.datetime]
    periods: Sequence[Mapping[str, int]]
    totals: Mapping[str, int]
    metrics: Sequence[Metric]


def question(
    *,
    start_date: str,
    end_date: str,
    timezone: str,
    interval: Interval,
    metrics: Sequence[str],
    events: EventFilter,
) -> MetricsQuestion:
    """Checks what a caller asked; raises InvalidRequestError naming every fault."""
    faults: list[FieldFault] = []
    start = _date("start_date", start_date, faults)
    end = _date("end_date", end_date, faults)
    zone = _zone(timezone or "UTC", faults)
    for place, slug in enumerate(metrics):
        if slug not in METRICS:
            allowed = ", ".join(METRICS)
            faults.append(
                FieldFault(
                    f"metrics[{place}]",
                    "VALUE_UNKNOWN",
                    f"{slug[:64]!r} is no metric; allowed are {allowed}",
                    slug[:64],
                    {"allowed": allowed},
                )
            )
    if start is not None and end is not None:
        faults += _span_faults(start, end, interval)
    if faults or start is None or end is None or zone is None:
        raise InvalidRequestError(faults)
    asked = frozenset(metrics or METRICS)
    return MetricsQuestion(
        start=start,
        end=end,
        zone=zone,
        interval=interval,
        metrics=[metric for slug, metric in METRICS.items() if slug in asked],
        filter=events,
    )


class MetricsReader:
    """Answers questions from one snapshot of the database each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def answer(self, organization: Organization, asked: MetricsQuestion) -> MetricsAnswer:
        """The metrics of the periods asked for; contains all that is committed."""
        return await asyncio.to_thread(self._answer, organization, asked)

    def _answer(self, organization: Organization, asked: MetricsQuestion) -> MetricsAnswer:
        periods = periods_of(asked.start, asked.end, asked.zone, asked.interval)
        with self._store.read() as connection:
            events = asked.filter.conditions(connection, organization.number)
            sums = _sums(connection, events, periods)
            history = 0
            if any(metric.needs_history for metric in asked.metrics):
                history = _history(connection, events, periods.bounds_us[0])
        cumulative = list(accumulate(sums.costs, initial=history))
        facts = [
            Facts(*each) for each in zip(sums.costs, cumulative[1:], sums.customers, strict=True)
        ]
        total = Facts(sum(sums.costs), cumulative[-1], sums.customers_distinct)
        return MetricsAnswer(
            starts=periods.starts,
            periods=[{m.slug: m.formula(f) for m in asked.metrics} for f in facts],
            totals={m.slug: m.formula(total) for m in asked.metrics},
            metrics=asked.metrics,
        )


def _sums(
    connection: sa.Connection, events: Sequence[sa.ColumnElement[bool]], periods: Periods
) -> _native.PeriodSums:
    timestamps, costs, customers = array("q"), array("q"), array("i")
    rows = connection.execute(
        sa.select(
            event.c.timestamp_us,
            sa.func.coalesce(event.c.cost_picocents, 0),
            event.c.customer_number,
        ).where(
            *events,
            event.c.timestamp_us >= periods.bounds_us[0],
            event.c.timestamp_us < periods.bounds_us[-1],
        ),
        execution_options={"yield_per": _FETCHED_ROWS},
    )
    for part in rows.partitions():
        columns = zip(*part, strict=True)
        for column, values in zip((timestamps, costs, customers), columns, strict=True):
            column.extend(values)
    return _native.sum_by_period(array("q", periods.bounds_us), timestamps, costs, customers)


def _history(
    connection: sa.Connection, events: Sequence[sa.ColumnElement[bool]], before_us: int
) -> int:
    # A sum of 64-bit integers overflows on SQLite, so high and low halves are summed apart.
    high, low = connection.execute(
        sa.select(
            sa.func.sum(event.c.cost_picocents.op(">>")(sa.literal(32, sa.Integer))),
            sa.func.sum(event.c.cost_picocents.op("&")(0xFFFFFFFF)),
        ).where(*events, event.c.timestamp_us < before_us)
    ).one()
    return (int(high or 0) << 32) + int(low or 0)


def _date(path: str, text: str, faults: list[FieldFault]) -> datetime.date | None:
    try:
        # `fromisoformat` takes other forms too, such as week dates.
        if _DATE.fullmatch(text):
            day = datetime.date.fromisoformat(text)
            if DATE_MIN <= day <= DATE_MAX:
                return day
    except ValueError:
        pass
    faults.append(
        FieldFault(
            path,
            "DATE_INVALID",
            f"{text[:64]!r} is no date from {DATE_MIN} to {DATE_MAX}, written as YYYY-MM-DD",
            text[:64],
            {"min": str(DATE_MIN), "max": str(DATE_MAX)},
        )
    )
    return None


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _zone(name: str, faults: list[FieldFault]) -> zoneinfo.ZoneInfo | None:
    if name in _zones():
        return zoneinfo.ZoneInfo(name)
    similar = ", ".join(difflib.get_close_matches(name[:64], sorted(_zones()), n=3))
    message = f"{name[:64]!r} is no time zone of the IANA database"
    if similar:
        message += f"; similar: {similar}"
    faults.append(
        FieldFault("timezone", "TIMEZONE_UNKNOWN", message, name[:64], {"similar": similar})
    )
    return None


def _span_faults(start: datetime.date, end: datetime.date, interval: Interval) -> list[FieldFault]:
    if end < start:
        return [
            FieldFault(
                "end_date",
                "SPAN_REVERSED",
                f"{end} is before the start_date {start}",
                str(end),
                {"min": str(start)},
            )
        ]
    days = (end - start).days
    days_max = LIMITS[interval].days_max
    if days <= days_max:
        return []
    fits = ", ".join(i.value for i, limits in LIMITS.items() if days <= limits.days_max)
    message = (
        f"{start} to {end} are {days} days apart; the interval {interval.value} allows {days_max}"
    )
    message += f"; {fits} would fit" if fits else "; no interval allows so many"
    return [
        FieldFault(
            "interval",
            "SPAN_TOO_LONG",
            message,
            interval.value,
            {"days": str(days), "days_max": str(days_max), "fits": fits},
        )
    ]
