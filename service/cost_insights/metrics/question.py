"""Questions of callers, checked."""

import datetime
import difflib
import enum
import functools
import importlib.resources
import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.events import EventFilter
from cost_insights.metrics.definitions import METRICS, Metric
from cost_insights.metrics.limits import LIMITS
from cost_insights.metrics.periods import DATE_MAX, DATE_MIN, Interval

BILLING_TYPES = frozenset({"one_time", "recurring"})
"""The ways in which a product is paid for."""

GROUPS_DEFAULT = 10
GROUPS_MAX = 1_000

_DIRECTIONS: Sequence[list[str]] = ([], ["asc"], ["desc"])

_OFFSET = re.compile(r"(?:Etc/)?(?:GMT|UTC?)([+-])0?([0-9]{1,2})", re.ASCII | re.IGNORECASE)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class GroupBy(enum.Enum):
    """The dimension that an answer is grouped by."""

    EVENT_NAME = "event_name"
    LLM_VENDOR = "llm_vendor"
    LLM_MODEL = "llm_model"
    CUSTOMER = "customer"
    PRODUCT = "product"

    @property
    def is_of_events(self) -> bool:
        """Whether only events have values of this dimension."""
        return self not in {GroupBy.CUSTOMER, GroupBy.PRODUCT}


class GroupOrder(NamedTuple):
    """The order of groups."""

    metric: Metric
    """The metric whose totals order the groups."""

    descending: bool


@dataclass(frozen=True)
class MetricsQuestion:
    """A question: metrics of selected events and revenue, per period and per group."""

    start: datetime.date
    end: datetime.date
    zone: zoneinfo.ZoneInfo
    interval: Interval
    metrics: Sequence[Metric]
    filter: EventFilter
    products: frozenset[str] | None
    """The products to count; an empty text means no product. None if all count."""

    billing_types: frozenset[str] | None
    """The billing types to count, `one_time` or `recurring`; None if all count."""

    group_by: GroupBy | None
    groups_max: int
    """The greatest number of groups beside the group of the others."""

    order: GroupOrder

    @property
    def takes_names(self) -> bool:
        """Whether the question needs the names of series or customers, beside their numbers."""
        return (
            self.group_by is not None
            or self.products is not None
            or self.billing_types is not None
            or self.filter.chooses_series
        )


def checked_question(
    *,
    start_date: str,
    end_date: str,
    timezone: str,
    interval: Interval,
    metrics: Sequence[str],
    events: EventFilter,
    products: Sequence[str] = (),
    billing_types: Sequence[str] = (),
    group_by: GroupBy | None,
    groups_max: int,
    order_by: str = "",
) -> MetricsQuestion:
    """Checks a caller's question; raises InvalidRequestError with every fault."""
    faults: list[FieldFault] = []
    start = _date("start_date", start_date, faults)
    end = _date("end_date", end_date, faults)
    zone = _zone(timezone or "UTC", faults)
    for place, slug in enumerate(metrics):
        if slug not in METRICS:
            faults.append(_unknown_metric(f"metrics[{place}]", slug))
    order = _order(order_by, group_by, faults)
    if not 0 <= groups_max <= GROUPS_MAX:
        faults.append(
            FieldFault(
                "groups_max",
                "NUMBER_OUT_OF_RANGE",
                f"the number of groups {groups_max} is not from 0 to {GROUPS_MAX}",
                str(groups_max),
                {"min": "0", "max": str(GROUPS_MAX)},
            )
        )
    if start is not None and end is not None:
        faults += _span_faults(start, end, interval)
    if faults or start is None or end is None or zone is None or order is None:
        raise InvalidRequestError(faults)
    slugs = frozenset(metrics or METRICS)
    return MetricsQuestion(
        start=start,
        end=end,
        zone=zone,
        interval=interval,
        metrics=[metric for slug, metric in METRICS.items() if slug in slugs],
        filter=events,
        products=frozenset(products) or None,
        billing_types=frozenset(billing_types) or None,
        group_by=group_by,
        groups_max=groups_max or GROUPS_DEFAULT,
        order=order,
    )


def _unknown_metric(path: str, slug: str) -> FieldFault:
    similar = difflib.get_close_matches(slug[:64], METRICS, n=3)
    message = f"there is no metric {slug[:64]!r}; "
    message += (
        f"did you mean {' or '.join(similar)}?"
        if similar
        else f"a request without metrics is answered with all {len(METRICS)}"
    )
    facts = {"similar": ", ".join(similar)}
    return FieldFault(path, "VALUE_UNKNOWN", message, slug[:64], facts)


def _order(text: str, group_by: GroupBy | None, faults: list[FieldFault]) -> GroupOrder | None:
    """The order that a text such as `gross_margin asc` asks for."""
    slug, *direction = text.split() or ["costs"]
    metric = METRICS.get(slug)
    if metric is None:
        faults.append(_unknown_metric("order_by", slug))
    elif direction not in _DIRECTIONS:
        faults.append(
            FieldFault(
                "order_by",
                "VALUE_UNKNOWN",
                f"{text[:64]!r} is not an order; allowed is a metric, with `asc` or `desc` after "
                "it",
                text[:64],
                {"allowed": "asc, desc"},
            )
        )
    elif group_by is not None and group_by.is_of_events and not metric.is_of_costs_alone:
        allowed = ", ".join(slug for slug, one in METRICS.items() if one.is_of_costs_alone)
        faults.append(
            FieldFault(
                "order_by",
                "VALUE_UNKNOWN",
                f"groups by {group_by.value} have no {slug}; allowed are {allowed}",
                slug,
                {"allowed": allowed},
            )
        )
    else:
        return GroupOrder(metric, descending=direction != ["asc"])
    return None


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
            f"{text[:64]!r} is not a date from {DATE_MIN} to {DATE_MAX}, written as YYYY-MM-DD",
            text[:64],
            {"min": str(DATE_MIN), "max": str(DATE_MAX)},
        )
    )
    return None


@functools.cache
def _zones() -> frozenset[str]:
    """The names of the IANA database, the same on every machine.

    The folder of a system holds other files too, such as `localtime` and `posixrules`.
    """
    names = importlib.resources.files("tzdata").joinpath("zones").read_text("ascii").split()
    # The zone of a clock that nobody has set.
    return frozenset(names) - {"Factory"}


def _zone(name: str, faults: list[FieldFault]) -> zoneinfo.ZoneInfo | None:
    if name in _zones():
        return zoneinfo.ZoneInfo(name)
    similar = difflib.get_close_matches(name[:64], sorted(_zones()), n=3)
    message = f"there is no time zone {name[:64]!r} in the IANA database"
    if similar:
        message += f"; did you mean {' or '.join(similar)}?"
    message += _sign_hint(name)
    facts = {"similar": ", ".join(similar)}
    faults.append(FieldFault("timezone", "TIMEZONE_UNKNOWN", message, name[:64], facts))
    return None


def _sign_hint(name: str) -> str:
    """The name that is probably meant by one such as GMT+5, which the database writes as GMT-5."""
    found = re.fullmatch(
        r"(?:Etc/)?(?:GMT|UTC?)([+-])0?([0-9]{1,2})", name, re.ASCII | re.IGNORECASE
    )
    if found is None:
        return ""
    is_ahead, hours = found[1] == "+", found[2]
    zone = f"Etc/GMT{'-' if is_ahead else '+'}{hours}"
    if zone not in _zones():
        return ""
    return f"; {zone} is {hours} hours {'ahead of' if is_ahead else 'behind'} UTC, with this sign"


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
