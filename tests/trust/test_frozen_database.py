"""A PostgreSQL that is frozen: it takes connections and statements, and answers nothing."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cost_insights import identity
from cost_insights.store import Store
from cost_insights.v1 import event_service_pb2
from tests.support.postgresql import Cluster, folder_for_cluster
from tests.support.processes import ServiceProcess
from tests.support.service import EVERY_SCOPE, Caller, lately, new_event, refused

DRAIN_SECONDS = 1
STOP_SECONDS_MAX = DRAIN_SECONDS + 5
SLOW_SECONDS = 3
"""The time that a loaded machine may add."""

SETTINGS = {
    "COST_INSIGHTS_DATABASE_ANSWER_SECONDS_MAX": "2",
    "COST_INSIGHTS_DATABASE_RETRY_SECONDS": "0.5",
    "COST_INSIGHTS_QUERY_SECONDS_MAX": "2",
    "COST_INSIGHTS_DRAIN_SECONDS": str(DRAIN_SECONDS),
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that may be frozen."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder, fsync=False)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def service(cluster: Cluster, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that waits for its database two seconds."""
    service = ServiceProcess(cluster.url, tmp_path, environment=SETTINGS)
    service.start()
    service.wait_until_serving()
    try:
        yield service
    finally:
        service.close()


@pytest.fixture
def caller(cluster: Cluster, service: ServiceProcess) -> Iterator[Caller]:
    """A caller who has stored an event."""
    with closing(Store(cluster.url)) as store, store.write() as connection:
        organization = identity.ensure_organization(connection, "acme")
        _, token = identity.create_token(connection, organization, EVERY_SCOPE, expires_us=None)
    with grpc.insecure_channel(service.address) as channel:
        caller = Caller(channel, token, organization.name)
        assert caller.ingest(new_event(external_id="before")).inserted == 1
        yield caller


def test_calls_are_refused_and_go_on_afterwards(cluster: Cluster, caller: Caller) -> None:
    """Whatever waits for a frozen database is told so, and is answered once it goes on."""
    calls: list[Callable[[], object]] = [
        lambda: caller.ingest(new_event(external_id="meanwhile")),
        lambda: caller.get_metrics(**lately()),
        caller.list_events,
    ]

    def is_refused(call: Callable[[], object]) -> bool:
        # In time: the client itself would wait longer.
        with refused() as answer:
            call()
        return answer.refusal.reason in {"STORE_UNAVAILABLE", "OVERLOADED", "QUERY_TOO_SLOW"}

    with cluster.silent(), ThreadPoolExecutor(len(calls)) as pool:
        assert list(pool.map(is_refused, calls)) == [True] * len(calls)
    caller.ingest(new_event(external_id="meanwhile"))
    assert len(caller.list_events()) == 2


def test_a_stop_waits_for_nobody(cluster: Cluster, service: ServiceProcess, caller: Caller) -> None:
    """The service stops in time while its database is frozen, a call waits to store an event, a
    health watch is open and a call has sent nothing."""
    with (
        grpc.insecure_channel(service.address) as channel,
        cluster.silent(),
        ThreadPoolExecutor(1) as pool,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        next(watch)
        nothing = send_nothing(channel, caller)
        waiting = pool.submit(caller.ingest, new_event())
        time.sleep(0.5)
        started = time.monotonic()
        service.end(signal.SIGTERM)
        assert time.monotonic() - started <= STOP_SECONDS_MAX + SLOW_SECONDS
        with contextlib.suppress(grpc.RpcError):
            waiting.result()
        nothing.cancel()


def test_a_stop_by_itself(service: ServiceProcess, caller: Caller) -> None:
    """With a database that works, the service stops by itself, whatever streams are open."""
    with grpc.insecure_channel(service.address) as channel:
        next(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))
        send_nothing(channel, caller)
        assert service.end(signal.SIGTERM) == 0


def send_nothing(channel: grpc.Channel, caller: Caller) -> Any:
    """Begins a stream of events without any."""
    stream: Callable[..., Any] = channel.stream_stream(
        "/cost_insights.v1.EventService/StreamEvents"
    )
    return stream(_never(), metadata=caller.metadata)


def _never() -> Iterator[bytes]:
    """Requests that never come."""
    time.sleep(2 * STOP_SECONDS_MAX)
    yield event_service_pb2.StreamEventsRequest().SerializeToString()
