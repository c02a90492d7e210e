"""Questions that would take much memory: refused before they are answered, with what would fit."""

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from tests.support.segments import compact
from tests.support.service import Caller, Service, StartServer, event_of, refused

CUSTOMERS = 200
MONTHS = 24
BYTES_MAX = 65_536
YEARS = {"start_date": "2024-01-01", "end_date": "2025-12-31", "interval": "INTERVAL_MONTH"}


@pytest.fixture
def member(start_server: StartServer, database_url: str) -> Iterator[tuple[Service, Caller]]:
    """A caller with some customers in each month of two years, of a service with little memory for
    questions."""
    with start_server(
        database_url,
        question_bytes_max=BYTES_MAX,
        cache_bytes_max=0,
        http_address="127.0.0.1:0",
        compact=False,
    ) as service:
        caller = service.caller()
        for month in range(MONTHS):
            caller.ingest(
                *(
                    event_of(
                        {
                            "name": f"event {customer % 7}",
                            "external_customer_id": f"c{customer}",
                            "timestamp": f"{2024 + month // 12}-{month % 12 + 1:02}-"
                            f"{(customer + n) % 28 + 1:02}T{(customer + 5 * n) % 24:02}:00:00Z",
                            "cost": {"amount": f"{customer * 7919}.{n:06}", "currency": "usd"},
                        }
                    )
                    for customer in range(CUSTOMERS)
                    for n in range(5)
                )
            )
        compact(service.store)
        yield service, caller


def test_too_many_customers_to_rank(member: tuple[Service, Caller]) -> None:
    """Ranking by something other than the greatest costs takes memory for each customer."""
    service, caller = member
    asked = {**YEARS, "group_by": "GROUP_BY_CUSTOMER", "order_by": "gross_margin asc"}
    with refused("QUESTION_TOO_LARGE") as call:
        caller.get_metrics(**asked)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.facts == {
        "path": "order_by",
        "value": "gross_margin asc",
        "bytes": str(400 * CUSTOMERS),
        "bytes_max": str(BYTES_MAX),
        "customers_fit": str(BYTES_MAX // 400),
    }
    assert "order 200 customers by gross_margin asc takes 0.1 MiB" in call.refusal.message
    answer = httpx.post(
        f"{service.url}/cost_insights.v1.MetricsService/GetMetrics",
        json=asked,
        headers={"authorization": f"Bearer {caller.token}"},
    )
    assert answer.status_code == 400
    assert answer.json()["message"] == call.refusal.message
    few = [f"c{n}" for n in range(BYTES_MAX // 400)]
    month = {"start_date": "2025-12-01", "interval": "INTERVAL_DAY"}
    assert caller.get_metrics(**asked | month, external_customer_ids=few).groups


def test_too_many_customers_to_export(member: tuple[Service, Caller]) -> None:
    """The totals of every customer take memory until they are exported; those of some fit."""
    _, caller = member
    asked: dict[str, Any] = {
        "start_date": "2025-12-01",
        "end_date": "2025-12-31",
        "metrics": ["costs"],
        "group_by": "GROUP_BY_CUSTOMER",
    }
    with refused("QUESTION_TOO_LARGE") as call:
        caller.export_totals(**asked)
    assert call.refusal.facts == {
        "path": "totals",
        "value": "true",
        "bytes": str(1_000 * CUSTOMERS),
        "bytes_max": str(BYTES_MAX),
        "customers_fit": str(BYTES_MAX // 1_000),
    }
    assert "the totals of 200 customers take 0.2 MiB of memory" in call.refusal.message
    few = [f"c{n}" for n in range(BYTES_MAX // 1_000)]
    exported = "".join(caller.export_totals(**asked, external_customer_ids=few))
    assert exported.count("\r\n") == 1 + len(few)


def test_too_many_sums_to_read(member: tuple[Service, Caller]) -> None:
    """A span whose sums are too large is refused; the days that would fit do fit."""
    _, caller = member
    asked = {"group_by": "GROUP_BY_CUSTOMER", "metrics": ["costs"]}
    with refused("QUESTION_TOO_LARGE") as call:
        caller.get_metrics(**YEARS, **asked)
    facts = call.refusal.facts
    assert facts["path"] == "start_date"
    assert int(facts["bytes"]) > BYTES_MAX == int(facts["bytes_max"])
    days = int(facts["days_fit"])
    assert 0 < days < 731
    assert f"about {days} days would fit" in call.refusal.message
    fits = YEARS | {"start_date": f"2025-{13 - max(1, days * 12 // 365 - 1):02}-01"}
    assert caller.get_metrics(**fits, **asked).groups
    # Everyone's sums are small.
    assert caller.get_metrics(**YEARS, metrics=["costs"]).periods
