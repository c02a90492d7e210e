"""A database that goes down and comes back: calls wait for it, and health says it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cost_insights.v1 import event_service_pb2
from tests.support.postgresql import Cluster, folder_for_cluster
from tests.support.samples import EVENTS, METRICS, SAMPLES
from tests.support.service import SERVICES, Service, StartServer, refused

pytestmark = pytest.mark.slow

NAMES = ("", *(service.full_name for service in SERVICES))
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

UNAVAILABLE: int = grpc.StatusCode.UNAVAILABLE.value[0]

NOTICE_SECONDS_MAX = 2.0
RECOVER_SECONDS_MAX = 10.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the tests of this module, which may stop it and must start it again."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@contextlib.contextmanager
def down(cluster: Cluster) -> Iterator[None]:
    """For the time of the block the server is stopped."""
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


def statuses(service: Service) -> set[int]:
    """The health of the service as a whole and of each of its parts."""
    stub = health_pb2_grpc.HealthStub(service.channel())
    return {
        stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status for name in NAMES
    }


def seconds_until(service: Service, status: int, *, seconds_max: float) -> float:
    """The time until health says the same under each name."""
    started = time.monotonic()
    while statuses(service) != {status}:
        assert time.monotonic() - started < seconds_max + 5, "health does not say it"
        time.sleep(0.02)
    return time.monotonic() - started


@contextlib.contextmanager
def watched(service: Service, name: str) -> Iterator[list[int]]:
    """The states that somebody who watches the health of a service is told during the block."""
    told: list[int] = []
    call = health_pb2_grpc.HealthStub(service.channel()).Watch(
        health_pb2.HealthCheckRequest(service=name)
    )

    def listen() -> None:
        with contextlib.suppress(grpc.RpcError):
            told.extend(answer.status for answer in call)

    listener = threading.Thread(target=listen)
    listener.start()
    yield told
    call.cancel()
    listener.join()


@pytest.mark.parametrize("kind", ["down", "silent"])
def test_health_follows_postgresql(start_server: StartServer, cluster: Cluster, kind: str) -> None:
    """Within two seconds health says that the database refuses connections, or answers
    nothing, under every name, and later that it is back; who watches is told both."""
    with start_server(cluster.url) as service, watched(service, NAMES[1]) as told:
        assert statuses(service) == {SERVING}
        for outages in (1, 2):
            with down(cluster) if kind == "down" else cluster.silent():
                seconds = seconds_until(service, NOT_SERVING, seconds_max=NOTICE_SECONDS_MAX)
                assert seconds < NOTICE_SECONDS_MAX
                # It stays so, and nothing piles up meanwhile.
                time.sleep(3)
                assert statuses(service) == {NOT_SERVING}
            assert seconds_until(service, SERVING, seconds_max=RECOVER_SECONDS_MAX) < (
                RECOVER_SECONDS_MAX
            )
            expected = [SERVING, *([NOT_SERVING, SERVING] * outages)]
            until = time.monotonic() + 5
            while told != expected and time.monotonic() < until:
                time.sleep(0.01)
            assert told == expected


def test_health_follows_sqlite(start_server: StartServer, tmp_path: Path) -> None:
    """A database file that is gone is missed, and is not made anew."""
    file, elsewhere = tmp_path / "a %41#.db", tmp_path / "elsewhere"
    elsewhere.mkdir()
    # Whatever compacts would make the file anew.
    with start_server(f"sqlite:///{file}", compact=False) as service:
        names = [one.name for one in tmp_path.glob("*.db*")]
        for name in names:
            (tmp_path / name).rename(elsewhere / name)
        assert seconds_until(service, NOT_SERVING, seconds_max=2) < NOTICE_SECONDS_MAX
        assert not file.exists()
        for name in names:
            (elsewhere / name).rename(tmp_path / name)
        assert seconds_until(service, SERVING, seconds_max=2) < NOTICE_SECONDS_MAX


def test_health_does_not_wait_for_calls(start_server: StartServer, database_url: str) -> None:
    """While every connection is taken and somebody writes, the service serves all the same."""
    with start_server(database_url, database_connections_max=4) as service:
        store = service.server.app.store
        with contextlib.ExitStack() as stack:
            stack.enter_context(store.write())
            for _ in range(store.transactions_max - 2):
                stack.enter_context(store.read())
            until = time.monotonic() + 4
            while time.monotonic() < until:
                assert statuses(service) == {SERVING}
                time.sleep(0.1)


def test_a_service_that_stops_is_not_serving(start_server: StartServer, database_url: str) -> None:
    """A watcher is told when the service begins to stop, and nothing afterwards."""
    with (
        start_server(database_url, drain_seconds=0.5) as service,
        watched(service, "") as told,
    ):
        while not told:
            time.sleep(0.01)
        service.begin_stop().result(60)
        assert told == [SERVING, NOT_SERVING]


@pytest.mark.parametrize("token", [False, True], ids=["without a token", "with a token"])
def test_every_call_waits_for_the_database(
    start_server: StartServer, cluster: Cluster, token: bool
) -> None:
    """Calls that come while the database is down are answered once it is back."""
    with start_server(cluster.url, database_retry_seconds=60, token_cache_ms=0) as service:
        # Who comes without a token is let in only before there is one.
        caller = service.caller() if token else service.stranger()
        caller.get_limits()
        with ThreadPoolExecutor(len(SAMPLES)) as threads, contextlib.ExitStack() as stack:
            stack.enter_context(down(cluster))
            calls = {
                method: threads.submit(caller.call, method, sample)
                for method, sample in SAMPLES.items()
            }
            time.sleep(2)
            assert not [method for method, call in calls.items() if call.done()]
            stack.close()
            for method, call in calls.items():
                if method.endswith("/GetEvent"):
                    with refused("EVENT_NOT_FOUND"):
                        call.result(60)
                elif method.endswith("/StreamEvents"):
                    assert acknowledged(call.result(60)).code == 0
                else:
                    call.result(60)


def acknowledged(answer: bytes) -> status_pb2.Status:
    """The status in an answer of a stream; OK where the batch was stored."""
    return event_service_pb2.StreamEventsResponse.FromString(answer).error


def test_a_call_gives_up_in_time(start_server: StartServer, cluster: Cluster) -> None:
    """Every call fails once the time for retries is over, not before, and says that it may be
    tried again."""
    with start_server(cluster.url, database_retry_seconds=1, token_cache_ms=60_000) as service:
        caller = service.caller()
        # The token is remembered, so that what comes after it fails.
        caller.get_limits()
        with down(cluster):
            for method, sample in SAMPLES.items():
                started = time.monotonic()
                if method == f"{METRICS}/GetMetricsLimits":
                    caller.call(method, sample)
                    continue
                if method == f"{EVENTS}/StreamEvents":
                    # A stream goes on: what became of a batch is in its answer.
                    assert acknowledged(caller.call(method, sample)).code == UNAVAILABLE
                else:
                    with refused("STORE_UNAVAILABLE") as call:
                        caller.call(method, sample)
                    assert call.refusal.code is grpc.StatusCode.UNAVAILABLE
                    assert call.refusal.retry_seconds == 1.0
                assert 1 <= time.monotonic() - started < 4, method


def test_without_retries_calls_fail_at_once(start_server: StartServer, cluster: Cluster) -> None:
    """If no time is given for retries there are none."""
    with start_server(cluster.url, database_retry_seconds=0) as service:
        caller = service.caller()
        with down(cluster):
            started = time.monotonic()
            with refused("STORE_UNAVAILABLE"):
                caller.get_limits()
            assert time.monotonic() - started < 1


def test_a_read_that_is_cut_is_read_again(start_server: StartServer, cluster: Cluster) -> None:
    """An export whose database goes down before its first part begins again."""
    with start_server(cluster.url, database_retry_seconds=60) as service:
        caller = service.caller()
        caller.ingest_json({"name": "a", "external_customer_id": "c"})
        with ThreadPoolExecutor(1) as threads:
            with down(cluster):
                export = threads.submit(
                    caller.export, "focus", start_date="2026-11-01", end_date="2026-11-30"
                )
                time.sleep(1.5)
                assert not export.done()
            assert len(export.result(60)) == 1
