"""Exports over a real socket: the rows of answers, and what is refused."""

import json
from decimal import Decimal
from typing import Any

import grpc
import pytest

from cost_insights.v1 import metrics_service_pb2, revenue_pb2, revenue_service_pb2
from tests.support.events import event
from tests.support.revenue import at, money, new_order, new_refund, new_seat
from tests.support.service import METHODS, Caller, refused

METHOD = "/cost_insights.v1.MetricsService/ExportMetrics"
DAYS = {"start_date": "2026-11-01", "end_date": "2026-11-02"}


@pytest.fixture
def filled(caller: Caller) -> Caller:
    """A caller with a few events and orders."""
    caller.ingest(
        event("2026-11-01T00:00:00Z", "0.000000000001", "=1+1", "a"),
        event("2026-11-01T12:00:00Z", "-3", 'c"2,\n', "b", product_id="pro"),
        event("2026-11-02T12:00:00Z", "20", 'c"2,\n', "b"),
        event("2026-11-03T12:00:00Z", "500", "c3", "b"),
    )
    order = new_order("1", external_customer_id="=1+1", net_amount=money("1000"))
    order.created_time.FromJsonString("2026-11-02T08:00:00Z")
    caller.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(orders=[order]), metadata=caller.metadata
    )
    return caller


def text(caller: Caller, written: str = "csv", **request: Any) -> str:
    """A whole export."""
    return "".join(caller.export(written, **DAYS, **request))


def totals(caller: Caller, written: str = "csv", **request: Any) -> str:
    """A whole export of the totals of every group."""
    return "".join(caller.export_totals(written, **DAYS, **request))


def test_csv(filled: Caller) -> None:
    """A header with names, then a row for each period and none of the totals."""
    metrics = ["costs", "revenue", "active_user_by_event", "gross_margin_percentage", "orders"]
    assert text(filled, metrics=metrics) == (
        "Timestamp,Costs,Active User (By event),Revenue,Orders,Gross Margin %\r\n"
        "2026-11-01T00:00:00+00:00,-2.999999999999,2,0,0,0\r\n"
        "2026-11-02T00:00:00+00:00,20,1,1000,1,0.983\r\n"
    )


def test_counts_and_averages(caller: Caller) -> None:
    """Counts are numbers in JSON; an average of counts is text, as it has decimals."""
    seats = [
        new_seat("a", claimed_time=at(0)),
        new_seat("b"),
        new_seat("c", external_customer_id="other"),
    ]
    caller.revenue.RecordSeats(
        revenue_service_pb2.RecordSeatsRequest(seats=seats), metadata=caller.metadata
    )
    asked: dict[str, Any] = {
        "metrics": ["seats_total", "average_seats_per_customer", "seat_utilization_rate"],
        "interval": "INTERVAL_MONTH",
    }
    assert text(caller, **asked) == (
        "Timestamp,Seat Count,Average Seats per Customer,Seat Utilization Rate\r\n"
        "2026-11-01T00:00:00+00:00,3,1.5,0.333333333333\r\n"
    )
    assert json.loads(text(caller, "json_lines", **asked)) == {
        "timestamp": "2026-11-01T00:00:00+00:00",
        "seats_total": 3,
        "average_seats_per_customer": "1.5",
        "seat_utilization_rate": "0.333333333333",
    }


def test_csv_of_groups(filled: Caller) -> None:
    """Rows come group by group; what callers named stays as it is, in quotes where it must be."""
    assert text(filled, metrics=["costs"], group_by="GROUP_BY_CUSTOMER", groups_max=1) == (
        "Timestamp,Group,Others,Costs\r\n"
        '2026-11-01T00:00:00+00:00,"c""2,\n",false,-3\r\n'
        '2026-11-02T00:00:00+00:00,"c""2,\n",false,20\r\n'
        "2026-11-01T00:00:00+00:00,,true,0.000000000001\r\n"
        "2026-11-02T00:00:00+00:00,,true,0\r\n"
    )
    assert "\r\n2026-11-01T00:00:00+00:00,=1+1,false,0.000000000001\r\n" in text(
        filled, metrics=["costs"], group_by="GROUP_BY_CUSTOMER"
    )


def test_groups_of_events_have_no_revenue(filled: Caller) -> None:
    """A number that a group does not have is an empty cell, and no field of an object."""
    asked: dict[str, Any] = {
        "metrics": ["costs", "revenue"],
        "group_by": "GROUP_BY_EVENT_NAME",
        "interval": "INTERVAL_MONTH",
    }
    assert text(filled, **asked) == (
        "Timestamp,Group,Others,Costs,Revenue\r\n"
        "2026-11-01T00:00:00+00:00,b,false,17,\r\n"
        "2026-11-01T00:00:00+00:00,a,false,0.000000000001,\r\n"
    )
    first, second = text(filled, "json_lines", **asked).splitlines()
    assert json.loads(first) == {
        "timestamp": "2026-11-01T00:00:00+00:00",
        "group": "b",
        "others": False,
        "costs": "17",
    }
    assert json.loads(second)["group"] == "a"


def test_totals_of_every_group(caller: Caller) -> None:
    """There is a row for each group, however many there are, in the order that is asked for, with
    the numbers of `GetMetrics`; what belongs to none comes last."""
    caller.ingest(
        *(
            event(
                f"2026-11-0{1 + n % 2}T00:00:00Z",
                f"{n % 700}.000000000001",
                f"c{n:04}",
                "ab"[n % 2],
            )
            for n in range(1_200)
        )
    )
    orders = [
        new_order(f"{n}", external_customer_id=f"c{n:04}", net_amount=money(f"{n % 50}000"))
        for n in range(300)
    ]
    refund = new_refund(order_id="unknown", amount=money("7"))
    for time in (*(order.created_time for order in orders), refund.created_time):
        time.FromJsonString("2026-11-02T08:00:00Z")
    caller.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(orders=orders), metadata=caller.metadata
    )
    caller.revenue.RecordRefunds(
        revenue_service_pb2.RecordRefundsRequest(refunds=[refund]), metadata=caller.metadata
    )
    slugs = ("costs", "net_revenue", "orders", "gross_margin_percentage")
    asked: dict[str, Any] = {
        "metrics": slugs,
        "group_by": "GROUP_BY_CUSTOMER",
        "interval": "INTERVAL_YEAR",
    }
    for order_by, place in (("costs desc", 1), ("net_revenue asc", 2)):
        lines = totals(caller, "json_lines", order_by=order_by, **asked).splitlines()
        rows = [json.loads(line) for line in lines]
        *groups, others = [(row["group"], *(row[slug] for slug in slugs)) for row in rows]
        assert [row["others"] for row in rows] == [False] * 1_200 + [True]
        ordered = [(Decimal(str(row[place])), row[0]) for row in groups]
        if order_by == "costs desc":
            ordered = [(-number, name) for number, name in ordered]
        assert ordered == sorted(ordered)
        assert others[:3] == ("", "0", "-7")
        answer = caller.get_metrics(**DAYS, order_by=order_by, groups_max=1_000, **asked)
        assert groups[:1_000] == [
            (group.value, *(getattr(group.totals, slug) for slug in slugs))
            for group in answer.groups[:-1]
        ]
        for at_slug, slug in enumerate(slugs[:3], 1):
            whole = Decimal(str(getattr(answer.totals, slug)))
            assert sum(Decimal(str(row[at_slug])) for row in [*groups, others]) == whole
    few = {**asked, "external_customer_ids": ["c0001", "c0700"], "metrics": ["costs", "events"]}
    assert totals(caller, **few) == (
        "Group,Others,Costs,Events\r\n"
        "c0001,false,1.000000000001,1\r\n"
        "c0700,false,0.000000000001,1\r\n"
    )
    names = {**asked, "metrics": ["costs", "revenue"], "group_by": "GROUP_BY_EVENT_NAME"}
    answer = caller.get_metrics(**DAYS, metrics=["costs"], group_by="GROUP_BY_EVENT_NAME")
    assert totals(caller, **names).splitlines() == [
        "Group,Others,Costs",
        *(f"{group.value},false,{group.totals.costs}" for group in answer.groups),
    ]


def test_totals_are_of_every_group(caller: Caller) -> None:
    """Totals of no groups, of some of them and of FOCUS are refused."""
    with refused("FIELDS_CONFLICT") as call:
        totals(caller, "focus", groups_max=3)
    assert [(one.reason, one.description) for one in call.refusal.faults] == [
        ("FIELDS_CONFLICT", "rows of FOCUS have no groups_max; it must be left out"),
        ("FIELD_REQUIRED", "metrics.group_by is absent or empty; it is required"),
        ("FIELDS_CONFLICT", "totals are those of every group; groups_max must be left out"),
        ("FIELDS_CONFLICT", "rows of FOCUS have no totals; it must be left out"),
    ]


def test_json_lines(filled: Caller) -> None:
    """An object a line: counts are numbers, all else is text."""
    metrics = ["costs", "orders", "revenue"]
    assert text(filled, "json_lines", metrics=metrics, timezone="Asia/Kathmandu") == (
        '{"timestamp": "2026-11-01T00:00:00+05:45", "costs": "-2.999999999999", '
        '"revenue": "0", "orders": 0}\n'
        '{"timestamp": "2026-11-02T00:00:00+05:45", "costs": "20", '
        '"revenue": "1000", "orders": 1}\n'
    )


@pytest.mark.parametrize("written", ["csv", "json_lines"])
def test_every_metric(filled: Caller, written: str) -> None:
    """Without slugs there are all metrics, with the numbers of `GetMetrics`."""
    answer = filled.get_metrics(**DAYS)
    lines = text(filled, written).splitlines()
    if written == "csv":
        assert lines[0].split(",") == ["Timestamp", *(m.display_name for m in answer.metrics)]
        rows = [line.split(",")[1:] for line in lines[1:]]
        assert rows == [
            [str(getattr(period, metric.slug)) for metric in answer.metrics]
            for period in answer.periods
        ]
    else:
        assert [json.loads(line) for line in lines] == [
            {
                "timestamp": period.timestamp,
                **{metric.slug: getattr(period, metric.slug) for metric in answer.metrics},
            }
            for period in answer.periods
        ]


@pytest.mark.parametrize("group_by", ["GROUP_BY_UNSPECIFIED", "GROUP_BY_CUSTOMER"])
def test_a_day_that_a_zone_skipped(filled: Caller, group_by: str) -> None:
    """A period that the span has no moment of is a row of zeros, or none where it is that day."""
    skipped = {"start_date": "2011-12-30", "end_date": "2011-12-30", "timezone": "Pacific/Apia"}
    for interval in ("HOUR", "DAY", "WEEK", "MONTH", "YEAR"):
        asked = {**skipped, "interval": f"INTERVAL_{interval}", "group_by": group_by}
        rows = filled.export("json_lines", **asked)
        numbers = [json.loads(line) for line in "".join(rows).splitlines()]
        has_row = interval in {"WEEK", "MONTH", "YEAR"} and group_by == "GROUP_BY_UNSPECIFIED"
        assert len(numbers) == has_row
        for row in numbers:
            assert row.pop("timestamp") in {
                "2011-12-26T00:00:00-10:00",
                "2011-12-01T00:00:00-10:00",
                "2011-01-01T00:00:00-10:00",
            }
            assert set(row.values()) == {"0", 0}
        lines = "".join(filled.export("csv", **asked)).splitlines()
        assert len(lines) == 1 + len(numbers)
    assert "".join(filled.export("focus", **skipped)).count("\n") == 1


def test_unspecified_is_csv(filled: Caller) -> None:
    """A request without a format is answered with CSV."""
    assert text(filled, "unspecified", metrics=["costs"]) == text(filled, metrics=["costs"])


def test_parts_are_of_one_size(caller: Caller) -> None:
    """Long exports come in parts of whole lines, of some 64 KiB each."""
    caller.ingest(*(event("2026-01-01T00:00:00Z", "1", f"{'x' * 200}{n}") for n in range(30)))
    parts = caller.export(
        start_date="2026-01-01",
        end_date="2026-06-30",
        metrics=["costs"],
        group_by="GROUP_BY_CUSTOMER",
        groups_max=30,
    )
    assert len(parts) > 10
    assert all(part.endswith("\r\n") for part in parts)
    assert all(65_536 <= len(part) < 66_000 for part in parts[:-1])
    assert "".join(parts).count("\r\n") == 1 + 30 * 181


def test_faults_are_named_below_metrics(caller: Caller) -> None:
    """A fault of the question has a path of the export."""
    with refused("DATE_INVALID") as call:
        caller.export(start_date="yesterday", end_date="2026-11-02", metrics=["cost"])
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.paths == ["metrics.start_date", "metrics.metrics[0]"]
    assert call.refusal.message == (
        "metrics.start_date: 'yesterday' is not a date from 1973-01-01 to 9998-12-31, written as "
        "YYYY-MM-DD (the first of 2 faults)"
    )
    with refused("TEXT_TOO_LONG") as call:
        caller.export(**DAYS, event_names=["ok", "x" * 129])
    assert call.refusal.paths == ["metrics.event_names[1]"]


def test_what_is_asked_for_is_required(caller: Caller) -> None:
    """An export of nothing and one in no format are refused."""
    with refused("FIELD_REQUIRED") as call:
        caller.call(METHOD, metrics_service_pb2.ExportMetricsRequest())
    assert call.refusal.message == "metrics: metrics is absent or empty; it is required"
    request = metrics_service_pb2.ExportMetricsRequest(
        metrics=metrics_service_pb2.GetMetricsRequest()
    )
    request.MergeFromString(b"\x10\x07")
    with refused("VALUE_UNKNOWN") as call:
        caller.call(METHOD, request)
    assert call.refusal.message == (
        "format: 7 is not an export format; allowed are EXPORT_FORMAT_CSV, "
        "EXPORT_FORMAT_JSON_LINES, "
        "EXPORT_FORMAT_FOCUS"
    )
    with refused("MALFORMED_REQUEST"):
        caller.call(METHOD, b"\xff")


def test_rows_of_focus_have_no_groups(caller: Caller) -> None:
    """Fields that rows of FOCUS have no use for are refused, all of them at once."""
    with refused("FIELDS_CONFLICT") as call:
        caller.export(
            "focus",
            **DAYS,
            interval="INTERVAL_MONTH",
            metrics=["costs"],
            group_by="GROUP_BY_CUSTOMER",
            groups_max=3,
            order_by="costs",
        )
    assert call.refusal.paths == [
        "metrics.interval",
        "metrics.metrics",
        "metrics.group_by",
        "metrics.groups_max",
        "metrics.order_by",
    ]
    assert call.refusal.message == (
        "metrics.interval: rows of FOCUS have no interval; it must be left out "
        "(the first of 5 faults)"
    )
    assert call.refusal.facts == {
        "path": "metrics.interval",
        "value": "4",
        "other": "format",
        "faults": "5",
    }
    with refused("SPAN_TOO_LONG") as call:
        caller.export("focus", start_date="2024-01-01", end_date="2026-01-01")
    assert call.refusal.paths == ["metrics.interval"]


def test_an_export_needs_a_scope(caller: Caller) -> None:
    """Without the scope of metrics there is nothing to export."""
    assert METHODS[METHOD].server_streaming
    other = Caller(caller.channel, token=None)
    with refused("TOKEN_MISSING"):
        other.export(**DAYS)


def test_requests_are_bounded(caller: Caller) -> None:
    """A request that is too large is refused as elsewhere."""
    request = metrics_service_pb2.ExportMetricsRequest(
        metrics=metrics_service_pb2.GetMetricsRequest(event_names=["x" * (17 << 20)])
    )
    with pytest.raises(grpc.RpcError) as caught:
        caller.call(METHOD, request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_costs_of_billing_types(filled: Caller) -> None:
    """Details are of the products with an order of one of the billing types."""
    order = new_order("2", product_id="pro", billing_type=revenue_pb2.BILLING_TYPE_RECURRING)
    filled.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(orders=[order]), metadata=filled.metadata
    )
    _, row, end = text(filled, "focus", billing_types=["BILLING_TYPE_RECURRING"]).split("\r\n")
    assert (row.partition(",")[0], end) == ("-0.03", "")
    assert text(filled, "focus", billing_types=["BILLING_TYPE_ONE_TIME"]).count("\r\n") == 1
