"""Answers that no client could read: refused before they are computed, and not asked for again."""

import logging

import grpc
import httpx
import pytest

from cost_insights.client import Client, RefusedError
from cost_insights.client.options import CHANNEL_OPTIONS
from cost_insights.metrics import METRICS, NUMBERS_MAX
from tests.support.service import Caller, Service, StartServer, event_of, refused

GROUPS = 250
YEAR = {"start_date": "2025-01-01", "end_date": "2025-12-31"}


@pytest.fixture
def member(web: Service) -> Caller:
    """A caller with more customers than fit into one answer."""
    caller = web.caller()
    caller.ingest(
        *(
            event_of(
                {
                    "name": "e",
                    "external_customer_id": f"c{n}",
                    "timestamp": "2025-06-01T00:00:00Z",
                    "cost": {"amount": "1", "currency": "usd"},
                }
            )
            for n in range(GROUPS)
        )
    )
    return caller


def test_an_answer_that_is_too_large(web: Service, member: Caller) -> None:
    """The refusal says how large the answer would be and what would fit, through both doors."""
    asked = {**YEAR, "group_by": "GROUP_BY_CUSTOMER", "groups_max": 1_000}
    with refused("ANSWER_TOO_LARGE") as call:
        member.get_metrics(**asked)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    a_group = 365 * len(METRICS)
    fits = NUMBERS_MAX // a_group - 2
    assert fits < GROUPS
    assert call.refusal.facts == {
        "path": "groups_max",
        "value": "1000",
        "numbers": str((GROUPS + 2) * a_group),
        "numbers_max": str(NUMBERS_MAX),
        "groups_fit": str(fits),
    }
    assert f"{fits} groups would fit" in call.refusal.message
    answer = httpx.post(
        f"{web.url}/cost_insights.v1.MetricsService/GetMetrics",
        json=asked,
        headers={"authorization": f"Bearer {member.token}"},
    )
    assert answer.status_code == 400
    assert answer.json()["message"] == call.refusal.message


def test_what_fits_is_answered(member: Caller) -> None:
    """Fewer metrics or periods are answered with as many groups."""
    asked = {"group_by": "GROUP_BY_CUSTOMER", "groups_max": 1_000}
    assert len(member.get_metrics(**YEAR, **asked, metrics=["costs"]).groups) == GROUPS
    month = {"start_date": "2025-06-01", "end_date": "2025-06-30"}
    assert len(member.get_metrics(**month, **asked).groups) == GROUPS


def test_the_client_reads_the_largest_answer() -> None:
    """The client takes sixteen bytes for each of the numbers that an answer may hold."""
    assert dict(CHANNEL_OPTIONS)["grpc.max_receive_message_length"] >= 16 * NUMBERS_MAX


def test_what_cannot_succeed_is_not_tried_again(
    start_server: StartServer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that the runtime refuses for its size is refused at once."""
    with start_server(database_url, request_bytes_max=10_000) as service:
        token = service.caller().token
        with (
            caplog.at_level(logging.WARNING, "cost_insights.client"),
            Client(service.address, token=token, retry_seconds=60) as client,
            pytest.raises(RefusedError, match="RESOURCE_EXHAUSTED") as caught,
        ):
            client.ingest([{"name": "e", "metadata": {"text": "x" * 1_000}}] * 20)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "try 1 failed" not in caplog.text
