"""Metrics as SDKs of the compatible API read them: every interval, limits and exports."""

import csv
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from tests.support.sdks import SdkClient, SdkProcess, instant
from tests.support.service import Service

pytestmark = pytest.mark.slow

CUSTOMER = {"external_customer_id": "user_123"}


def cost(amount: float) -> Mapping[str, Any]:
    """The metadata of an event that costs so much."""
    return {"_cost": {"amount": amount, "currency": "usd"}}


SPANS: Sequence[tuple[Sequence[str], Sequence[tuple[str, float]]]] = (
    # (interval, start_date, end_date, timezone), and each period with its costs
    (
        ("hour", "2025-10-26", "2025-10-26", "Europe/Berlin"),
        # The day has 25 hours: two o'clock comes twice.
        [
            ("2025-10-26T00:00:00+02:00", 0),
            ("2025-10-26T01:00:00+02:00", 0),
            ("2025-10-26T02:00:00+02:00", 1.5),
            ("2025-10-26T02:00:00+01:00", 2),
            *((f"2025-10-26T{hour:02}:00:00+01:00", 0) for hour in range(3, 24)),
        ],
    ),
    (
        ("hour", "2025-11-02", "2025-11-02", "America/New_York"),
        [
            ("2025-11-02T00:00:00-04:00", 0),
            ("2025-11-02T01:00:00-04:00", 4),
            ("2025-11-02T01:00:00-05:00", 8),
            *((f"2025-11-02T{hour:02}:00:00-05:00", 0) for hour in range(2, 24)),
        ],
    ),
    (
        ("day", "2025-11-01", "2025-11-03", "America/New_York"),
        [
            ("2025-11-01T00:00:00-04:00", 0),
            ("2025-11-02T00:00:00-04:00", 12),
            ("2025-11-03T00:00:00-05:00", 0),
        ],
    ),
    (
        ("week", "2025-10-20", "2025-11-09", "Europe/Berlin"),
        [
            ("2025-10-20T00:00:00+02:00", 3.5),
            ("2025-10-27T00:00:00+01:00", 12),
            ("2025-11-03T00:00:00+01:00", 0),
        ],
    ),
    (
        ("month", "2025-09-01", "2025-11-30", "UTC"),
        [
            ("2025-09-01T00:00:00Z", 0),
            ("2025-10-01T00:00:00Z", 3.5),
            ("2025-11-01T00:00:00Z", 12.000000000001),
        ],
    ),
    (
        ("year", "2024-01-01", "2025-12-31", "UTC"),
        [("2024-01-01T00:00:00Z", 16), ("2025-01-01T00:00:00Z", 15.500000000001)],
    ),
)

COSTS: Mapping[str, float] = {
    "2024-06-30T12:00:00Z": 16,
    # Berlin puts its clocks back at 01:00Z, New York at 06:00Z.
    "2025-10-26T00:30:00Z": 1.5,
    "2025-10-26T01:30:00Z": 2,
    "2025-11-02T05:30:00Z": 4,
    "2025-11-02T06:30:00Z": 8,
    "2025-11-30T23:59:59.999Z": 0.000000000001,
}
"""What events cost, by their time."""


@pytest.fixture(scope="module")
def spender(sdk_process: SdkProcess, web: Service) -> SdkClient:
    """A client whose organization has spent COSTS."""
    client = SdkClient(sdk_process, web.url, web.token(web.organization()))
    events = [
        {**CUSTOMER, "name": "a", "timestamp": timestamp, "metadata": cost(amount)}
        for timestamp, amount in COSTS.items()
    ]
    assert client.ingest(*events) == {"inserted": len(COSTS), "duplicates": 0}
    return client


@pytest.mark.parametrize(("span", "periods"), SPANS)
def test_metrics(
    spender: SdkClient, span: Sequence[str], periods: Sequence[tuple[str, float]]
) -> None:
    """Every interval has its periods, also where clocks are put back, and each its exact costs."""
    interval, start_date, end_date, timezone = span
    answer = spender(
        "metrics.get",
        interval=interval,
        start_date=start_date,
        end_date=end_date,
        timezone=timezone,
        metrics=["costs", "cumulative_costs"],
    )
    assert [(instant(one["timestamp"]), one["costs"]) for one in answer["periods"]] == [
        (instant(timestamp), costs) for timestamp, costs in periods
    ]
    # In decimals, since a sum of doubles may end in noise.
    total = sum(Decimal(repr(costs)) for _, costs in periods)
    assert Decimal(repr(answer["totals"]["costs"])) == total
    assert answer["totals"]["cumulative_costs"] == answer["periods"][-1]["cumulative_costs"]
    assert answer["metrics"]["costs"] == {
        "slug": "costs",
        "display_name": "Costs",
        "type": "currency_sub_cent",
    }


def test_a_customer_by_id(client: SdkClient) -> None:
    """The customer_id of an event that was read chooses the customer of metrics."""
    for number in (1, 2):
        client.ingest(
            {
                "name": "a",
                "external_customer_id": f"user_{number}",
                "timestamp": "2025-10-01T12:00:00Z",
                "metadata": cost(number),
            }
        )
    (event,) = client.items("events.list", external_customer_id="user_2")
    answer = client(
        "metrics.get",
        start_date="2025-10-01",
        end_date="2025-10-01",
        interval="day",
        customer_id=event["customer_id"],
        organization_id=event["organization_id"],
    )
    assert answer["totals"]["costs"] == 2


def test_every_metric(client: SdkClient) -> None:
    """Without a choice of metrics every one is answered, as old SDKs require."""
    answer = client("metrics.get", start_date="2025-10-01", end_date="2025-10-02", interval="day")
    slugs = {slug for slug, metric in answer["metrics"].items() if metric is not None}
    assert len(slugs) == (39 if client.sdk.version == "0.41.5" else 55)
    for numbers in (*answer["periods"], answer["totals"]):
        assert {numbers[slug] for slug in slugs} == {0}


def test_limits(client: SdkClient) -> None:
    """The limits of each interval, as far as the SDK has fields for them."""
    limits = client("metrics.limits")
    assert limits["min_date"] == "2023-01-01"
    days = {
        interval: (one.get("min_days"), one["max_days"])
        for interval, one in limits["intervals"].items()
    }
    expected: Mapping[str, tuple[int | None, int]] = {
        "hour": (0, 7),
        "day": (0, 366),
        "week": (14, 371),
        "month": (60, 1460),
        "year": (366, 3650),
    }
    if "min_days" in client.sdk.lacks:
        expected = {interval: (None, most) for interval, (_, most) in expected.items()}
    assert days == expected


def test_export(spender: SdkClient) -> None:
    """The export is a table of periods, exact to the last digit."""
    if "metrics.export" in spender.sdk.lacks:
        pytest.skip("the SDK has no export")
    text = spender(
        "metrics.export",
        start_date="2025-10-26",
        end_date="2025-11-30",
        interval="month",
        timezone="Europe/Berlin",
        metrics=["costs", "cumulative_costs"],
    )
    assert list(csv.reader(io.StringIO(text))) == [
        ["Timestamp", "Costs", "Cumulative Costs"],
        ["2025-10-01T00:00:00+02:00", "3.5", "19.5"],
        ["2025-11-01T00:00:00+01:00", "12", "31.5"],
    ]
