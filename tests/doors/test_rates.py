"""Rates of organizations and access tokens: reached and recovered from, by every door."""

import base64
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2

from cost_insights import identity
from cost_insights.client import Client, NewEvent
from cost_insights.v1 import event_service_pb2
from tests.support.databases import Databases
from tests.support.processes import CHANNEL_OPTIONS, ServiceProcess
from tests.support.service import Caller, Service, StartServer, event_of, refusal_of, refused

CALLS_MAX = 1_000
"""More calls than any limit here lets through."""

Call = Callable[[str | None, int], float | None]
"""Sends so many events with external ids that begin with a text, or asks for something without a
text; returns the time to wait if it is refused."""


def limit(service: Service, organization: str, **limits: int | None) -> None:
    """Sets limits of an organization."""
    with service.store.write() as connection:
        owner = identity.find_organization(connection, organization)
        assert owner is not None
        identity.set_limits(connection, owner, limits)


def events(prefix: str, count: int) -> list[NewEvent]:
    """Events in JSON."""
    return [
        {
            "name": "call",
            "external_customer_id": "user_1",
            "external_id": f"{prefix} {number}",
            "cost": {"amount": "1", "currency": "usd"},
        }
        for number in range(count)
    ]


def by_grpc(http: httpx.Client | None, service: Service | None, caller: Caller) -> Call:
    """Calls by gRPC."""
    del http, service

    def call(prefix: str | None, count: int) -> float | None:
        try:
            if prefix is None:
                caller.get_limits()
            else:
                caller.ingest_json(*events(prefix, count))
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            assert refusal.reason == "RATE_LIMITED"
            assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            return refusal.retry_seconds
        return None

    return call


def by_http(paths: Mapping[bool, tuple[str, str]], wait: Callable[[httpx.Response], float]) -> Any:
    """Calls by HTTP: the method and the path with events and without, and how an answer says how
    long to wait."""

    def of(http: httpx.Client, service: Service, caller: Caller) -> Call:
        def call(prefix: str | None, count: int) -> float | None:
            method, path = paths[prefix is not None]
            content: Any = {} if prefix is None else {"events": events(prefix, count)}
            answer = http.request(
                method,
                service.url + path,
                headers=dict(caller.metadata),
                json=content if method == "POST" else None,
            )
            if answer.status_code == 429:
                return wait(answer)
            assert answer.is_success, answer.text
            return None

        return call

    return of


def connect_wait(answer: httpx.Response) -> float:
    """The time to wait, of an error of Connect."""
    [packed] = [
        one["value"] for one in answer.json()["details"] if one["type"] == "google.rpc.RetryInfo"
    ]
    retry = error_details_pb2.RetryInfo.FromString(base64.b64decode(packed + "=="))
    seconds = float(retry.retry_delay.ToTimedelta().total_seconds())
    assert answer.headers["retry-after"] == str(math.ceil(seconds))
    return seconds


DOORS: Mapping[str, Callable[[httpx.Client, Service, Caller], Call]] = {
    "grpc": by_grpc,
    "connect": by_http(
        {
            True: ("POST", "/cost_insights.v1.EventService/IngestEvents"),
            False: ("POST", "/cost_insights.v1.MetricsService/GetMetricsLimits"),
        },
        connect_wait,
    ),
    "compatible": by_http(
        {True: ("POST", "/v1/events/ingest"), False: ("GET", "/v1/metrics/limits")},
        lambda answer: float(int(answer.headers["retry-after"])),
    ),
}


Door = Callable[[Service, Caller], Call]


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """Each of the doors."""
    with httpx.Client(timeout=60) as http:
        yield partial(DOORS[request.param], http)


def until_refused(call: Callable[[int], float | None]) -> tuple[int, float]:
    """Calls with the numbers 0, 1, 2, … until one is refused: its number, and the time to wait."""
    for number in range(CALLS_MAX):
        wait = call(number)
        if wait is not None:
            return number, wait
    raise AssertionError("no call was refused")


def test_requests(web: Service, door: Door) -> None:
    """Beyond the rate of requests calls are refused, and taken again after the time they are told;
    a call that is refused does not count."""
    caller = web.caller()
    limit(web, caller.organization, requests_per_second=1)
    call = door(web, caller)
    first, _ = until_refused(lambda _: call(None, 0))
    # What was saved up in five seconds.
    assert first >= 5
    for _ in range(20):
        call(None, 0)
    _, wait = until_refused(lambda _: call(None, 0))
    assert 0 < wait <= 2
    time.sleep(wait)
    assert call(None, 0) is None
    # Others are not affected.
    assert door(web, web.caller())(None, 0) is None


def test_events(web: Service, door: Door) -> None:
    """Beyond the rate of events nothing of a request is stored, and a retry after the time it is
    told stores each event once."""
    caller = web.caller()
    limit(web, caller.organization, events_per_second=20)
    call = door(web, caller)
    taken, wait = until_refused(lambda number: call(f"batch {number}", 30))
    assert taken >= 4
    assert 0 < wait <= 3
    assert len(caller.list_events(page_size=100)) == taken * 30
    time.sleep(wait)
    assert call(f"batch {taken}", 30) is None
    stored = caller.list_events(page_size=100)
    assert len(stored) == len({one.external_id for one in stored}) == (taken + 1) * 30


def test_words_and_facts(service: Service) -> None:
    """A refusal names the limit, its value and its owner; the limit of a token holds beside that
    of the organization, and for that token only."""
    owner = service.organization()
    limits = identity.RateLimits(events_per_second=7, requests_per_second=None)
    with service.store.write() as connection:
        token, secret = identity.create_token(
            connection, owner, {"events:write"}, expires_us=None, limits=limits
        )
    caller = Caller(service.channel(), secret, owner.name)
    caller.ingest_json(*events("first", 1_000))
    with refused("RATE_LIMITED") as call:
        caller.ingest_json(*events("second", 1))
    wait_ms = int(call.refusal.facts["wait_ms"])
    assert call.refusal.retry_seconds == pytest.approx(wait_ms / 1_000)
    assert 60_000 < wait_ms <= 138_000
    assert call.refusal.facts == {
        "limit": "events_per_second",
        "limit_value": "7",
        "owner_kind": "access_token",
        "owner": str(token.id),
        "wait_ms": str(wait_ms),
    }
    assert call.refusal.message == (
        f"the token {token.id} may send 7 events a second and has sent more; try again in "
        f"{wait_ms / 1_000:g} seconds"
    )
    other = service.caller(owner.name)
    other.ingest_json(*events("second", 1_000))
    # A change counts from then on: nothing is left of what the former limit was owed.
    with service.store.write() as connection:
        identity.limit_token(connection, token.id, {"events_per_second": 8})
    caller.ingest_json(*events("third", 1_000))
    limit(service, owner.name, events_per_second=9)
    other.ingest_json(*events("fourth", 1_000))
    with refused("RATE_LIMITED") as call:
        other.ingest_json(*events("fifth", 1))
    assert call.refusal.facts["owner_kind"] == "organization"
    assert call.refusal.message.startswith(
        f"the organization {owner.name!r} may send 9 events a second and has sent more; try again "
    )


def test_what_is_refused_for_another_reason_does_not_count(service: Service) -> None:
    """Malformed events take nothing of the rate of events."""
    caller = service.caller()
    limit(service, caller.organization, events_per_second=1)
    for _ in range(20):
        with refused("FIELD_REQUIRED"):
            caller.ingest_json(*events("valid", 10), {"external_customer_id": "user_1"})
    caller.ingest_json(*events("valid", 10))


def streamed(batches: int, batch_events: int) -> Iterator[event_service_pb2.StreamEventsRequest]:
    """Batches of a stream."""
    for sequence in range(1, batches + 1):
        request = event_service_pb2.StreamEventsRequest(stream_id="s", sequence=sequence)
        request.batch.events.extend(map(event_of, events(f"batch {sequence}", batch_events)))
        yield request


def test_a_stream_waits(start_server: StartServer, database_url: str) -> None:
    """A stream that is faster than its rate is not refused: it is read as fast as it may be."""
    with start_server(database_url, token_cache_ms=0, rate_burst_seconds=0.1) as service:
        caller = service.caller()
        limit(service, caller.organization, events_per_second=100)
        begin = time.monotonic()
        answers = list(
            caller.events.StreamEvents(streamed(4, 50), metadata=caller.metadata, timeout=60)
        )
        assert [one.batch.inserted for one in answers] == [50] * 4
        # Half a second for each batch but the last one, less what may be saved up.
        assert time.monotonic() - begin >= 3 * 0.5 - 3 * 0.1


def test_a_waiting_stream_follows_changes(service: Service) -> None:
    """A batch that would wait for hours is stored once the limit is raised."""
    caller = service.caller()
    limit(service, caller.organization, events_per_second=1)
    answers = iter(
        caller.events.StreamEvents(streamed(2, 5_000), metadata=caller.metadata, timeout=60)
    )
    assert next(answers).batch.inserted == 5_000
    limit(service, caller.organization, events_per_second=0)
    assert next(answers).batch.inserted == 5_000


def test_defaults_of_the_service(start_server: StartServer, database_url: str) -> None:
    """The settings limit organizations without a limit of their own, callers without tokens too."""
    with start_server(
        database_url, token_cache_ms=0, organization_requests_per_second=1
    ) as service:
        anyone = service.stranger()
        call = by_grpc(None, service, anyone)
        until_refused(lambda _: call(None, 0))
        limit(service, "default", requests_per_second=0)
        for _ in range(50):
            anyone.get_limits()


def test_the_client_waits(start_server: StartServer, database_url: str) -> None:
    """The client library tries again after the time that it is told."""
    with start_server(database_url, token_cache_ms=0, rate_burst_seconds=0.001) as service:
        caller = service.caller()
        limit(service, caller.organization, requests_per_second=2)
        begin = time.monotonic()
        with Client(service.address, token=caller.token) as client:
            for number in range(4):
                assert client.ingest(events(f"batch {number}", 1)).inserted == 1
        assert time.monotonic() - begin >= 3 * 0.5 - 0.1


@pytest.mark.slow
def test_workers_share_a_rate(databases: Databases, tmp_path: Path) -> None:
    """However connections are spread over the workers, all of them together give what the limit
    allows."""
    saved_up = 60
    settings = {
        "COST_INSIGHTS_ORGANIZATION_REQUESTS_PER_SECOND": "1",
        "COST_INSIGHTS_RATE_BURST_SECONDS": str(saved_up),
    }
    with databases.fresh("postgresql") as url:
        service = ServiceProcess(url, tmp_path, "--workers", "2", environment=settings)
        service.start()
        try:
            service.wait_until_serving()
            begin = time.monotonic()
            channels = [grpc.insecure_channel(service.address, CHANNEL_OPTIONS) for _ in range(16)]
            calls = [by_grpc(None, None, Caller(channel)) for channel in channels]
            with ThreadPoolExecutor(4) as pool:
                waits = list(
                    pool.map(
                        lambda call: call(None, 0), itertools.islice(itertools.cycle(calls), 320)
                    )
                )
            taken = waits.count(None)
            assert saved_up - 2 <= taken <= saved_up + (time.monotonic() - begin) + 3
            for channel in channels:
                channel.close()
        finally:
            service.close()
