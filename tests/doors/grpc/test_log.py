"""The log of calls that fail: each kind at once, all of them by their number, and no secrets."""

import logging
import queue
import re

import grpc
import pytest

from cost_insights.v1 import event_service_pb2
from tests.support.samples import EVENTS, METRICS, REVENUE, SAMPLES
from tests.support.service import Caller, StartServer, new_event, refused


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that were logged of failed calls, all of them warnings."""
    records = [one for one in caplog.records if one.name == "cost_insights.api.statuses"]
    assert {one.levelno for one in records} <= {logging.WARNING}
    return [one.getMessage() for one in records]


def line(method: str, code: str, reason: str, caller: str) -> str:
    """The line that is logged of a call."""
    return f"{method} failed with {code} for the reason {reason}, called by {caller}"


def test_every_kind_of_call_is_logged(
    start_server: StartServer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that fails, of whatever kind, is named with its code, its reason and its
    organization; what the caller sent is not in the log."""
    with start_server(database_url, token_cache_ms=0) as service:
        acme = service.caller()
        organization = f"organization {acme.organization!r}"
        secret = "ci_nobody_knows"
        with refused("TOKEN_UNKNOWN"):
            service.stranger(secret).call(f"{METRICS}/GetMetrics", SAMPLES[f"{METRICS}/GetMetrics"])
        with refused("TOKEN_MISSING"):
            service.stranger().call(f"{REVENUE}/ListOrders", SAMPLES[f"{REVENUE}/ListOrders"])
        with refused("FIELD_REQUIRED"):
            acme.ingest(new_event(name="", external_customer_id="evil\ncustomer"))
        with refused("EVENT_NOT_FOUND"):
            acme.get_event("evil\x1b[31mid")
        with refused("DATE_INVALID"):
            acme.export(start_date="evil\ndate", end_date="2026-11-30")
        reader = service.caller(acme.organization, scopes=frozenset({"events:read"}))
        with refused("SCOPE_MISSING"):
            reader.get_metrics(start_date="2026-11-01", end_date="2026-11-30")
        with refused("TOKEN_REVOKED"):
            service.caller(acme.organization, revoked=True).get_limits()
        batch = event_service_pb2.IngestEventsRequest(events=[new_event(name="")])
        request = event_service_pb2.StreamEventsRequest(stream_id="s", sequence=1, batch=batch)
        acme.call(f"{EVENTS}/StreamEvents", request)
        stranger = "an unknown caller"
        assert lines(caplog) == [
            line(f"{METRICS}/GetMetrics", "UNAUTHENTICATED", "TOKEN_UNKNOWN", stranger),
            line(f"{REVENUE}/ListOrders", "UNAUTHENTICATED", "TOKEN_MISSING", stranger),
            line(f"{EVENTS}/IngestEvents", "INVALID_ARGUMENT", "FIELD_REQUIRED", organization),
            line(f"{EVENTS}/GetEvent", "NOT_FOUND", "EVENT_NOT_FOUND", organization),
            line(f"{METRICS}/ExportMetrics", "INVALID_ARGUMENT", "DATE_INVALID", organization),
            line(f"{METRICS}/GetMetrics", "PERMISSION_DENIED", "SCOPE_MISSING", organization),
            line(f"{METRICS}/GetMetricsLimits", "UNAUTHENTICATED", "TOKEN_REVOKED", organization),
            line(f"{EVENTS}/StreamEvents", "INVALID_ARGUMENT", "FIELD_REQUIRED", organization),
        ]
        assert secret not in caplog.text
        assert str(acme.token) not in caplog.text
        assert "evil" not in caplog.text


def test_a_flood_is_counted(
    start_server: StartServer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A line accounts for each of 300 calls that fail alike, in a few lines; a service that stops
    leaves none out."""
    with start_server(database_url) as service:
        caller = service.stranger()
        for _ in range(300):
            with refused("FIELD_REQUIRED"):
                caller.ingest(new_event(name=""))
    first, *more = lines(caplog)
    assert first == line(
        f"{EVENTS}/IngestEvents", "INVALID_ARGUMENT", "FIELD_REQUIRED", "organization 'default'"
    )
    assert 1 <= len(more) <= 4
    counts = [
        re.fullmatch(re.escape(first) + r" \(([0-9]+) more in [0-9]+ s\)", one) for one in more
    ]
    assert sum(int(found[1]) for found in counts if found) == 299


def test_calls_that_are_answered_are_not_logged(
    start_server: StartServer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that succeed leave no line, and neither does a caller who gives up."""
    with start_server(database_url) as service:
        caller: Caller = service.stranger()
        caller.ingest(new_event())
        assert len(caller.list_events()) == 1
        batch = event_service_pb2.IngestEventsRequest(events=[new_event()])
        sent: queue.Queue[event_service_pb2.StreamEventsRequest | None] = queue.Queue()
        sent.put(event_service_pb2.StreamEventsRequest(stream_id="s", sequence=1, batch=batch))
        # The service waits for a second batch, so it cannot end the call before the caller does.
        call = caller.events.StreamEvents(iter(sent.get, None), timeout=60)
        assert next(call).batch.inserted == 1
        call.cancel()
        with pytest.raises(grpc.RpcError) as given_up:
            next(call)
        assert given_up.value.code() is grpc.StatusCode.CANCELLED
        # What follows on the connection arrives behind the cancellation.
        assert len(caller.list_events()) == 2
        sent.put(None)
    assert lines(caplog) == []
