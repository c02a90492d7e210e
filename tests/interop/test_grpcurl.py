"""The documented examples, pasted into the real grpcurl."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import ProgramError, output_of
from tests.support.service import SERVICES, Service

FOLDER = Path(__file__).parents[2] / "proto/examples"
EXAMPLES = sorted(FOLDER.glob("*.json"))

AMOUNTS = {
    "llm_inference": "0.025",
    "video_processing": "45.5",
    "email_sent": "0.0001",
    "llm_completion": "0.000125",
    "gpt4_completion": "0.909",
    "gpt4_completion_noise": "0.045",
}


def grpcurl(*options: str, address: str, ask: tuple[str, ...]) -> str:
    """The output of grpcurl; the method stands behind the address."""
    return output_of("grpcurl", "-plaintext", *options, address, *ask)


def answer_of(service: Service, method: str, request: str, *options: str) -> Any:
    """The answer of an RPC to a request in JSON."""
    return json.loads(grpcurl(*options, "-d", request, address=service.address, ask=(method,)))


INGEST = "cost_insights.v1.EventService/IngestEvents"
LIST = "cost_insights.v1.EventService/ListEvents"
METRICS = "cost_insights.v1.MetricsService/GetMetrics"
REVENUE = "cost_insights.v1.RevenueService"


def test_every_documented_example_is_here() -> None:
    """The folder of examples holds the documented ones."""
    assert {path.stem for path in EXAMPLES} == AMOUNTS.keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(server: Service, path: Path) -> None:
    """The documented JSON is accepted as it stands, and the event comes back with its amount."""
    text = path.read_text()
    assert answer_of(server, INGEST, text) == {"inserted": 1}
    (sent,) = json.loads(text)["events"]
    (event,) = answer_of(server, LIST, "{}")["events"]
    assert event["name"] == sent["name"]
    customer = sent.get("external_customer_id") or sent["customer_id"]
    assert event["external_customer_id"] == customer
    assert event["cost"] == {"amount": AMOUNTS[path.stem], "currency": "usd"}
    metadata = sent["metadata"]
    del metadata["_cost"]
    llm = metadata.pop("_llm", None)
    assert event.get("metadata", {}) == metadata
    if llm is not None:
        assert event["llm"] == {
            "vendor": llm["vendor"],
            "model": llm["model"],
            "input_tokens": str(llm["input_tokens"]),
            "output_tokens": str(llm["output_tokens"]),
            "total_tokens": str(llm["total_tokens"]),
        }


def test_all_examples_add_up(server: Service) -> None:
    """The sum of the documented examples is the one on paper."""
    for path in EXAMPLES:
        answer_of(server, INGEST, path.read_text())
    today = datetime.now(UTC).date()
    span = {"start_date": f"{today.year}-01-01", "end_date": f"{today.year}-12-31"}
    totals = {
        "costs": "46.479225",
        "cumulative_costs": "46.479225",
        "active_user_by_event": "2",
        "cost_per_user": "23.2396125",
    }
    question = {**span, "interval": "INTERVAL_YEAR", "metrics": list(totals)}
    answer = answer_of(server, METRICS, json.dumps(question))
    assert answer["totals"] == totals
    assert answer["periods"] == [
        {"timestamp": f"{today.year}-01-01T00:00:00+00:00", **answer["totals"]}
    ]


@pytest.mark.parametrize(
    ("method", "listing", "first"),
    [
        ("RecordOrders", "ListOrders", {"inserted": 2}),
        ("RecordRefunds", "ListRefunds", {"inserted": 2}),
        (
            "RecordSubscriptions",
            "ListSubscriptions",
            {"inserted": 1, "outcomes": ["SUBSCRIPTION_OUTCOME_INSERTED"]},
        ),
        (
            "RecordCheckouts",
            "ListCheckouts",
            {"inserted": 2, "outcomes": ["STATE_OUTCOME_INSERTED"] * 2},
        ),
        (
            "RecordSeats",
            "ListSeats",
            {"inserted": 2, "outcomes": ["STATE_OUTCOME_INSERTED"] * 2},
        ),
    ],
)
def test_revenue_is_recorded(
    server: Service, method: str, listing: str, first: dict[str, Any]
) -> None:
    """The example of each call that records is accepted as it stands, once, and comes back."""
    noun = method.removeprefix("Record").lower()
    text = (FOLDER / f"revenue/record_{noun}.json").read_text()
    assert answer_of(server, f"{REVENUE}/{method}", text) == first
    again = answer_of(server, f"{REVENUE}/{method}", text)
    assert again.get("inserted", 0) == 0
    listed = answer_of(server, f"{REVENUE}/{listing}", "{}")
    assert listed.keys() == {noun}
    found = sorted(listed[noun], key=json.dumps)
    sent = sorted(json.loads(text)[noun], key=json.dumps)
    for one, example in zip(found, sent, strict=True):
        assert one.items() >= example.items()


def test_system_events_are_recorded(server: Service) -> None:
    """The example is accepted as it stands, once, and comes back as records."""
    text = (FOLDER / "revenue/system_events.json").read_text()
    assert answer_of(server, INGEST, text) == {"inserted": 8}
    assert answer_of(server, INGEST, text) == {"duplicates": 8}
    (order,) = answer_of(server, f"{REVENUE}/ListOrders", "{}")["orders"]
    del order["customer_id"]
    assert order == {
        "order_id": "order_1003",
        "external_customer_id": "user_123",
        "product_id": "pro",
        "billing_type": "BILLING_TYPE_RECURRING",
        "subscription_id": "subscription_18",
        "net_amount": {"amount": "2900", "currency": "usd"},
        "exchange_rate": "1",
        "applied_balance": "0",
        "fee": "114.5",
        "created_time": "2025-11-01T09:30:00Z",
        "paid_time": "2025-11-01T09:30:04Z",
    }
    refunds = answer_of(server, f"{REVENUE}/ListRefunds", "{}")["refunds"]
    assert [(one["refund_id"], one["amount"]["amount"]) for one in refunds] == [
        ("refund_32:reversal", "900"),
        ("refund_32", "900"),
    ]
    (subscription,) = answer_of(server, f"{REVENUE}/ListSubscriptions", "{}")["subscriptions"]
    assert subscription["product_id"] == "max"
    assert subscription["ends_time"] == "2025-12-01T09:30:00Z"


def test_list_and_describe(server: Service) -> None:
    """grpcurl finds every service, method and message by reflection alone."""

    def asked(*ask: str) -> str:
        return grpcurl(address=server.address, ask=ask)

    listed = asked("list").split()
    assert {service.full_name for service in SERVICES} <= set(listed)
    assert "grpc.health.v1.Health" in listed
    for service in SERVICES:
        methods = {f"{service.full_name}.{method.name}" for method in service.methods}
        assert set(asked("list", service.full_name).split()) == methods
        described = asked("describe", service.full_name)
        for method in service.methods:
            assert f"rpc {method.name} (" in described
            assert method.input_type.full_name in asked("describe", method.input_type.full_name)
            assert method.output_type.full_name in asked("describe", method.output_type.full_name)
            assert f"rpc {method.name} (" in asked("describe", method.full_name)
    assert "string amount = 1" in asked("describe", "cost_insights.v1.Cost")


def test_tokens_go_in_a_header(service: Service) -> None:
    """With a token in the documented header a call is let in, without it is refused."""
    caller = service.caller()
    header = f"authorization: Bearer {caller.token}"
    limits = "cost_insights.v1.MetricsService/GetMetricsLimits"
    assert answer_of(service, limits, "{}", "-H", header)["min_date"] == "2023-01-01"
    with pytest.raises(ProgramError, match="TOKEN_MISSING"):
        answer_of(service, limits, "{}")


def test_faults_are_printed(server: Service) -> None:
    """grpcurl prints each fault with its path, its reason and its words."""
    request = {
        "events": [
            {
                "name": "a",
                "external_customer_id": "c",
                "metadata": {"_cost": {"amount": "1e-13", "currency": "eur"}},
            }
        ]
    }
    with pytest.raises(ProgramError) as caught:
        answer_of(server, INGEST, json.dumps(request))
    printed = str(caught.value)
    assert "InvalidArgument" in printed
    assert "events[0].metadata._cost.amount" in printed
    assert "events[0].metadata._cost.currency" in printed
    assert "AMOUNT_TOO_PRECISE" in printed
    assert "CURRENCY_UNSUPPORTED" in printed
