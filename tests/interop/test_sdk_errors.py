"""The errors that SDKs of the compatible API make of ours: their own classes, with all we say.

No SDK sends another content type than JSON, so that none of them can meet 415.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cost_insights.v1.event_service_pb2 import IngestEventsRequest
from tests.support.postgresql import Cluster, folder_for_cluster, free_port
from tests.support.sdks import SdkClient, SdkError, SdkProcess
from tests.support.service import (
    LoopThread,
    Service,
    StartServer,
    new_event,
    running,
    writes_blocked,
)

pytestmark = pytest.mark.slow

SPAN = {"start_date": "2025-10-01", "end_date": "2025-10-02", "interval": "day"}
EVENT = {"name": "llm.inference", "external_customer_id": "user_123"}
CALLS: Mapping[str, Mapping[str, Any]] = {
    "events.ingest": {"events": [EVENT]},
    "events.get": {"id": "b8a7e0a2-6f1d-4a53-9a9e-0d2f5a3f7c11"},
    "metrics.get": SPAN,
    "metrics.limits": {},
}

CLIENT_ERRORS = {
    "node 1": "PolarClientError",
    "node 0": "SDKError",
    "python 1": "PolarClientError",
    "python 0": "SDKError",
}
"""What each family of SDKs makes of a 4xx that it has no class of its own for."""

RATE_LIMIT_ERRORS = CLIENT_ERRORS | {
    "node 1": "PolarRateLimitError",
    "python 1": "PolarRateLimitError",
}
SERVER_ERRORS = CLIENT_ERRORS | {"node 1": "PolarServerError", "python 1": "PolarServerError"}
NETWORK_ERRORS = {
    "node 1": "PolarNetworkError",
    "node 0": "ConnectionError",
    "python 1": "PolarNetworkError",
    "python 0": "ConnectError",
}


def refused(client: SdkClient, call: str, **arguments: Any) -> SdkError:
    """The error that a call ends with."""
    with pytest.raises(SdkError) as raised:
        client(call, **arguments)
    return raised.value


def content(error: SdkError) -> Mapping[str, Any]:
    """The JSON of the answer that an error was made of."""
    body: Mapping[str, Any] = json.loads(error.body) if isinstance(error.body, str) else error.body
    return body


@pytest.mark.parametrize("call", CALLS)
def test_an_unknown_token(sdk_process: SdkProcess, web: Service, call: str) -> None:
    """A token that nobody was given is 401, whatever is called."""
    client = SdkClient(sdk_process, web.url, "polar_oat_unknown")
    error = refused(client, call, **CALLS[call])
    assert (error.name, error.status) == (CLIENT_ERRORS[client.sdk.family], 401)
    assert content(error) == {
        "error": "invalid_token",
        "error_description": "unknown access token",
        "detail": "unknown access token",
    }


def test_no_token(sdk_process: SdkProcess, web: Service) -> None:
    """Without a token it is 401 too. Version 1 of the SDKs writes `undefined` or `None` instead."""
    client = SdkClient(sdk_process, web.url, None)
    error = refused(client, "metrics.limits")
    assert (error.name, error.status) == (CLIENT_ERRORS[client.sdk.family], 401)
    assert content(error)["detail"] == (
        "unknown access token"
        if client.sdk.family.endswith("1")
        else "the call carries no access token; send `authorization: Bearer TOKEN`"
    )


def test_a_missing_scope(sdk_process: SdkProcess, web: Service) -> None:
    """A token that may not make the call is 403, which names the scope."""
    token = web.token(web.organization(), frozenset({"metrics:read"}))
    client = SdkClient(sdk_process, web.url, token)
    error = refused(client, "events.get", id="b8a7e0a2-6f1d-4a53-9a9e-0d2f5a3f7c11")
    assert (error.name, error.status) == (CLIENT_ERRORS[client.sdk.family], 403)
    assert content(error)["error"] == "insufficient_scope"
    assert content(error)["detail"] == (
        "GET /v1/events/{id} needs the scope events:read or events:write; "
        "the access token has metrics:read"
    )


def test_no_such_event(client: SdkClient) -> None:
    """An event that is not there is the SDK's own ResourceNotFound."""
    event_id = "b8a7e0a2-6f1d-4a53-9a9e-0d2f5a3f7c11"
    error = refused(client, "events.get", id=event_id)
    assert (error.name, error.status) == ("ResourceNotFound", 404)
    assert error.detail == f"there is no event '{event_id}'"


def test_no_such_endpoint(client: SdkClient) -> None:
    """What the service does not have at all is 404, which every SDK understands."""
    error = refused(client, "meters.list")
    assert (error.name, error.status) == (CLIENT_ERRORS[client.sdk.family], 404)
    assert content(error) == {"detail": "Not Found"}


def test_faults_of_a_query(client: SdkClient) -> None:
    """A parameter that is refused is the SDK's own HTTPValidationError, which says where."""
    error = refused(
        client,
        "metrics.get",
        start_date="2025-10-03",
        end_date="2025-10-02",
        interval="day",
    )
    assert (error.name, error.status) == ("HTTPValidationError", 422)
    (fault,) = error.detail
    assert (fault["type"], fault["loc"], fault["msg"]) == (
        "span_reversed",
        ["query", "end_date"],
        "2025-10-02 is before the start_date 2025-10-03",
    )


def test_faults_of_events(client: SdkClient) -> None:
    """Of events that are refused every fault is named, with the place where it is."""
    error = refused(
        client,
        "events.ingest",
        events=[
            EVENT | {"metadata": {"_cost": {"amount": "1.1.1", "currency": "usd"}}},
            EVENT | {"name": "n" * 129},
            EVENT | {"metadata": {"_cost": {"amount": 1, "currency": "eur"}}},
            EVENT,
        ],
    )
    assert (error.name, error.status) == ("HTTPValidationError", 422)
    assert [(fault["type"], fault["loc"], fault["msg"]) for fault in error.detail] == [
        (
            "amount_malformed",
            ["body", "events", 0, "metadata", "_cost", "amount"],
            'the amount "1.1.1" is not a decimal number such as 0.025',
        ),
        (
            "text_too_long",
            ["body", "events", 1, "name"],
            "the name has 129 characters; at most 128 are allowed",
        ),
        (
            "currency_unsupported",
            ["body", "events", 2, "metadata", "_cost", "currency"],
            'the currency "eur" is not supported; only usd is allowed',
        ),
    ]


def test_a_large_body(sdk_process: SdkProcess, start_http: StartServer, database_url: str) -> None:
    """A body above the limit is 413, which names the limit."""
    with start_http(database_url, request_bytes_max=100_000) as service:
        client = SdkClient(sdk_process, service.url, service.token(service.organization()))
        error = refused(client, "events.ingest", events=[EVENT] * 2_000)
        assert (error.name, error.status) == (CLIENT_ERRORS[client.sdk.family], 413)
        assert content(error)["error"] == "PayloadTooLarge"


def test_overload(sdk_process: SdkProcess, start_http: StartServer, database_url: str) -> None:
    """While more waits than is held, a call is 429 with the seconds to wait; then it is taken."""
    with start_http(database_url, waiting_events_max=1) as service:
        caller = service.caller()
        client = SdkClient(sdk_process, service.url, caller.token)
        waiting = []
        with writes_blocked(service.store):
            for number in range(2):
                request = IngestEventsRequest(events=[new_event(name=f"waiting {number}")])
                waiting.append(
                    caller.events.IngestEvents.future(request, metadata=caller.metadata, timeout=60)
                )
                # One after the other: the first is being written, the second waits.
                time.sleep(0.2)
            error = refused(client, "events.ingest", events=[EVENT])
        assert (error.name, error.status) == (RATE_LIMIT_ERRORS[client.sdk.family], 429)
        assert int(error.retry_after or 0) == 1
        assert [call.result().inserted for call in waiting] == [1, 1]
        assert client.ingest(EVENT)["inserted"] == 1


@pytest.fixture(scope="module")
def stopped(loop_thread: LoopThread) -> Iterator[str]:
    """The URL of a server whose PostgreSQL has stopped."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        with contextlib.ExitStack() as stack:
            cluster.start()
            stack.callback(cluster.stop)
            service = stack.enter_context(
                running(
                    loop_thread,
                    cluster.url,
                    http_address="127.0.0.1:0",
                    database_retry_seconds=0,
                )
            )
            cluster.stop()
            yield service.url
            cluster.start()


@pytest.mark.parametrize("call", CALLS)
def test_a_database_that_is_down(sdk_process: SdkProcess, stopped: str, call: str) -> None:
    """While the database does not answer, calls are 503 with the seconds to wait."""
    client = SdkClient(sdk_process, stopped, "polar_oat_any")
    error = refused(client, call, **CALLS[call])
    assert error.name == SERVER_ERRORS[client.sdk.family]
    assert "503" in error.message
    assert "the database does not answer; try again" in error.message
    if client.sdk.family != "node 1":  # it gives neither the status nor the headers
        assert error.status == 503
    if client.sdk.family.endswith("0"):
        assert error.retry_after == "1"


def test_nobody_listens(sdk_process: SdkProcess) -> None:
    """A server that is not there is the SDK's own error of the network."""
    client = SdkClient(sdk_process, f"http://127.0.0.1:{free_port()}", "polar_oat_any")
    error = refused(client, "metrics.limits")
    assert (error.name, error.status) == (NETWORK_ERRORS[client.sdk.family], None)
