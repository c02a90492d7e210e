"""Metrics and lists as tables of pyarrow, pandas and polars, compared with sums on paper."""

import datetime
import decimal
import subprocess
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from cost_insights.client import AsyncClient, Client
from cost_insights.client.answers import metrics_answer
from cost_insights.client.records import CostReader
from cost_insights.v1 import metrics_service_pb2 as messages
from tests.support.service import Service

DAYS: dict[str, Any] = {"start": "2026-10-25", "end": "2026-10-25", "timezone": "Europe/Berlin"}
AMOUNTS = ("0.1", "0.2", "-0.000000000001", "8999999.9999999999")
NAMES = ('a "quoted",\r\nname', "call\u2028b")
"""Names with all that could be taken for the end of a line or a field."""

TIME = datetime.datetime(2026, 10, 25, 10, tzinfo=datetime.UTC)
CENTS = sum(map(Decimal, AMOUNTS), Decimal(0))
WIDE = decimal.Context(prec=60)


def rows_of_arrow(table: Any) -> list[dict[str, Any]]:
    """The rows of a table of pyarrow."""
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def rows_of_pandas(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame of pandas, whose columns are of Arrow."""
    assert {type(dtype) for dtype in frame.dtypes} == {pd.ArrowDtype}
    return rows_of_arrow(pa.Table.from_pandas(frame, preserve_index=False))


def rows_of_polars(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame of polars."""
    rows: list[dict[str, Any]] = frame.to_dicts()
    return rows


ROWS: Mapping[str, Callable[[Any], list[dict[str, Any]]]] = {
    "to_arrow": rows_of_arrow,
    "to_pandas": rows_of_pandas,
    "to_polars": rows_of_polars,
}


def sent(service: Service) -> Client:
    """A client of an organization with an event for each amount."""
    client = Client(service.address, token=service.caller().token)
    client.ingest(
        [
            {
                "name": NAMES[number % 2],
                "external_customer_id": "acme",
                "external_id": str(number),
                "timestamp": TIME + datetime.timedelta(microseconds=number),
                "cost": {"amount": amount, "currency": "usd"},
                "metadata": {"größe": number},
            }
            for number, amount in enumerate(AMOUNTS)
        ]
    )
    return client


@pytest.mark.parametrize("method", ROWS)
def test_metrics(service: Service, method: str) -> None:
    """A row for each period has the exact amounts and the time in the zone that was asked for; a
    metric that groups lack is null."""
    with sent(service) as client:
        answer = client.metrics(**DAYS, interval="hour", metrics=["costs", "active_user_by_event"])
        rows = ROWS[method](getattr(answer, method)())
        # The clock is set back: the day has 25 hours, and two of them look alike.
        assert len(rows) == 25
        assert [row["timestamp"].timestamp() for row in rows] == [
            period.start.timestamp() for period in answer.periods
        ]
        assert [row["timestamp"].utcoffset() for row in rows[2:4]] == [
            datetime.timedelta(hours=2),
            datetime.timedelta(hours=1),
        ]
        assert sum(row["costs"] for row in rows) == answer.totals["costs"] == CENTS
        assert all(type(row["costs"]) is Decimal for row in rows)
        assert sum(row["active_user_by_event"] for row in rows) == 1

        grouped = client.metrics(
            **DAYS, metrics=["costs", "revenue"], group_by="event_name", groups_max=1
        )
        assert ROWS[method](getattr(grouped, method)()) == [
            {
                "timestamp": grouped.periods[0].start,
                "group": group,
                "others": group == "",
                "costs": sum(map(Decimal, amounts), Decimal(0)),
                "revenue": None,
            }
            for group, amounts in ((NAMES[1], AMOUNTS[1::2]), ("", AMOUNTS[::2]))
        ]
        nothing = client.metrics(
            **DAYS, metrics=["costs"], event_names=["no"], group_by="event_name"
        )
        table = getattr(nothing, method)()
        assert ROWS[method](table) == []
        assert list(table.column_names if method == "to_arrow" else table.columns) == [
            "timestamp",
            "group",
            "others",
            "costs",
        ]


@pytest.mark.parametrize("method", ROWS)
async def test_lists(service: Service, method: str) -> None:
    """Events, orders and costs in full detail become tables whose columns do not depend on what is
    in them."""
    caller = sent(service)
    costs = ROWS[method](getattr(caller.list_costs(**DAYS), method)())
    assert sum(row["cost"] for row in costs) == CENTS
    assert {(row["event_name"], row["events"], row["llm_model"]) for row in costs} == {
        (NAMES[0], 2, ""),
        (NAMES[1], 2, ""),
    }
    day = datetime.datetime(2026, 10, 24, 22, tzinfo=datetime.UTC)
    assert {(row["start"], row["end"]) for row in costs} == {
        (day, day + datetime.timedelta(hours=25))
    }
    caller.record_orders(
        [
            {
                "order_id": "1",
                "external_customer_id": "acme",
                "billing_type": "one_time",
                "net_amount": {"amount": "1000000000000000", "currency": "JPY"},
                "exchange_rate": "0.01",
                "created_time": TIME,
            }
        ]
    )
    (order,) = ROWS[method](getattr(caller.list_orders(), method)())
    assert (order["net_amount"], order["currency"]) == (10**15, "jpy")
    assert order["created_time"] == TIME
    token = caller._metadata[0][1].removeprefix("Bearer ")
    async with AsyncClient(service.address, token=token) as client:
        events = ROWS[method](await getattr(client.list_events(page_size=3), method)())
        assert [row["metadata"] for row in events] == [f'{{"größe": {n}}}' for n in (3, 2, 1, 0)]
        assert [row["cost"] for row in events] == [Decimal(each) for each in AMOUNTS[::-1]]
        assert events[0]["llm_input_tokens"] is None
        assert ROWS[method](await getattr(client.list_costs(**DAYS), method)()) == costs
        refunds = await getattr(client.list_refunds(), method)()
        names = list(refunds.column_names if method == "to_arrow" else refunds.columns)
        assert names[:6] == ["refund_id", "kind", "order_id", "amount", "currency", "exchange_rate"]
    caller.close()


PICOCENTS = st.integers(-(10**37), 10**37)


@hypothesis.given(st.lists(PICOCENTS, min_size=1, max_size=20))
def test_sums_of_tables_are_exact(picocents: list[int]) -> None:
    """Each library adds up what the sum on paper is, wherever that fits 38 digits."""
    hypothesis.assume(abs(sum(picocents)) < 10**38)
    amounts = [f"{'-' * (n < 0)}{abs(n) // 10**12}.{abs(n) % 10**12:012}" for n in picocents]
    answer = metrics_answer(
        messages.GetMetricsRequest(timezone="UTC"),
        messages.GetMetricsResponse(
            periods=[
                messages.MetricsPeriod(timestamp="2026-11-01T00:00:00+00:00", costs=amount)
                for amount in amounts
            ],
            metrics=[messages.Metric(slug="costs")],
        ),
    )
    sums = (
        pa.compute.sum(answer.to_arrow()["costs"]).as_py(),
        answer.to_pandas()["costs"].sum(),
        answer.to_polars()["costs"].sum(),
        answer.to_polars()
        .lazy()
        .group_by("timestamp")
        .agg(pl.col("costs").sum())
        .collect()["costs"][0],
    )
    assert [int(total.scaleb(12, WIDE)) for total in sums] == [sum(picocents)] * 4


def test_costs_of_all_digits() -> None:
    """Dollars of an export become cents without a digit lost."""
    dollars = "123456789012345678901234.12345678901234"
    header = "ChargePeriodStart,ChargePeriodEnd,SubAccountName,SubAccountId,ServiceName"
    lines = [
        f"{header},x_ModelVendor,x_ModelName,x_ProductId,x_EventCount,BilledCost\r\n",
        '2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,"a\n',
        f'b",,n,,,,1,{dollars}\r\n',
    ]
    (row,) = CostReader().read("".join(lines))
    assert str(row.cost) == "12345678901234567890123412.345678901234"
    assert row.external_customer_id == "a\nb"


@pytest.mark.parametrize(
    ("package", "method", "extra"),
    [
        ("pyarrow", "to_arrow", "arrow"),
        ("pandas", "to_pandas", "pandas"),
        ("pyarrow", "to_pandas", "pandas"),
        ("polars", "to_polars", "polars"),
    ],
)
def test_a_package_that_is_missing(
    package: str, method: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the extra that installs what is needed."""
    monkeypatch.setitem(sys.modules, package, None)
    answer = metrics_answer(
        messages.GetMetricsRequest(timezone="UTC"), messages.GetMetricsResponse()
    )
    with pytest.raises(ImportError) as missing:
        getattr(answer, method)()
    assert str(missing.value) == (
        f"{method} needs {package}, which is not installed: pip install 'cost-insights[{extra}]'"
    )


def test_the_client_loads_none_of_them() -> None:
    """A program that only sends events loads no package for tables."""
    program = "import sys; from cost_insights.client import Client; print(*sys.modules, sep='\\n')"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    packages = {"numpy", "pandas", "polars", "pyarrow", "sqlalchemy", "psycopg", "starlette"}
    assert packages.isdisjoint(loaded)
    parts = {"aio", "background", "inputs", "llm", "notebook", "records", "tables", "tracking"}
    assert {f"cost_insights.client.{part}" for part in parts}.isdisjoint(loaded)
