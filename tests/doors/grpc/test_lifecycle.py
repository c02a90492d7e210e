"""Starting, stopping and dying: what was acknowledged stays, and what runs is finished."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
import sqlalchemy as sa
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from cost_insights.addresses import AddressError
from cost_insights.store import Store
from cost_insights.v1 import event_service_pb2
from tests.support.postgresql import free_port
from tests.support.service import (
    METHODS,
    SERVICES,
    Caller,
    Service,
    StartServer,
    new_event,
    refused,
    writes_blocked,
)


def test_health(service: Service) -> None:
    """The health service says SERVING, to anybody."""
    stub = health_pb2_grpc.HealthStub(service.channel())
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection(service: Service) -> None:
    """Reflection lists every service and describes each method, to anybody."""
    database = ProtoReflectionDescriptorDatabase(service.channel())
    listed = set(database.get_services())
    assert listed >= {one.full_name for one in SERVICES}
    assert {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= listed
    for one in SERVICES:
        file = database.FindFileContainingSymbol(one.full_name)
        (described,) = [each for each in file.service if each.name == one.name]
        paths = {f"/{one.full_name}/{method.name}" for method in described.method}
        assert paths == {path for path in METHODS if path.startswith(f"/{one.full_name}/")}


def test_a_graceful_stop_finishes_what_runs(start_server: StartServer, database_url: str) -> None:
    """A call that runs when the service is told to stop is finished; a new one is refused."""
    with start_server(database_url, drain_seconds=30) as service:
        caller = service.stranger()
        caller.ingest(new_event(name="before"))
        with writes_blocked(service.store):
            running = [
                caller.events.IngestEvents.future(request, timeout=60)
                for request in [_request(f"running {n}") for n in range(8)]
            ]
            time.sleep(0.5)
            assert not any(call.done() for call in running)
            stopped = service.begin_stop()
            time.sleep(0.5)
            with pytest.raises(grpc.RpcError) as caught:
                service.stranger().ingest(new_event(name="after"))
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert not any(call.done() for call in running)
            assert not stopped.done()
        for call in running:
            assert call.result().inserted == 1
        stopped.result(timeout=30)
    with start_server(database_url) as service:
        names = {event.name for event in service.stranger().list_events()}
        assert names == {"before", *(f"running {n}" for n in range(8))}


def _request(name: str) -> event_service_pb2.IngestEventsRequest:
    return event_service_pb2.IngestEventsRequest(events=[new_event(name=name)])


def test_a_stop_does_not_wait_for_ever(start_server: StartServer, database_url: str) -> None:
    """A call that takes longer than the time to drain is given up."""
    with start_server(database_url, drain_seconds=0.3) as service:
        caller = service.stranger()
        caller.ingest(new_event(name="before"))
        with writes_blocked(service.store):
            running = caller.events.IngestEvents.future(_request("running"), timeout=60)
            time.sleep(0.3)
            stopped = service.begin_stop()
            with pytest.raises(grpc.RpcError) as caught:
                running.result(timeout=10)
            assert caught.value.code() in {
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
            }
        stopped.result(timeout=30)


def test_what_was_acknowledged_is_there_after_a_restart(
    start_server: StartServer, database_url: str
) -> None:
    """A service that is started again knows every event, organization and token."""
    with start_server(database_url) as service:
        caller = service.caller()
        caller.ingest(new_event(external_id="k", cost="0.1"))
        events, token = caller.list_events(), caller.token
    with start_server(database_url) as service:
        again = service.stranger(token)
        assert again.list_events() == events
        assert again.ingest(new_event(external_id="k", cost="0.1")).duplicates == 1


SERVE = """
import asyncio
from cost_insights.server import serve
from cost_insights.settings import Settings

asyncio.run(serve(Settings(), ready=lambda server: print(server.grpc_address, flush=True)))
"""


@contextlib.contextmanager
def process(database_url: str) -> Iterator[tuple["subprocess.Popen[str]", Caller]]:
    """The service in a process of its own, set by variables, and a caller."""
    environment = {
        **os.environ,
        "COST_INSIGHTS_DATABASE_URL": database_url,
        "COST_INSIGHTS_GRPC_ADDRESS": "127.0.0.1:0",
        "COST_INSIGHTS_HTTP_ADDRESS": "",
    }
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], env=environment, stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            address = service.stdout.readline().strip()
            with grpc.insecure_channel(address) as channel:
                yield service, Caller(channel)
        finally:
            service.kill()


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service(database_url: str, signum: signal.Signals) -> None:
    """SIGTERM and SIGINT stop the service in good order, with exit code 0."""
    with process(database_url) as (service, caller):
        assert caller.ingest(new_event()).inserted == 1
        service.send_signal(signum)
        assert service.wait(timeout=30) == 0
    store = Store(database_url)
    with store.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM event")).scalar_one() == 1
    store.close()


@pytest.mark.slow
def test_a_killed_service_loses_nothing_acknowledged(
    start_server: StartServer, database_url: str
) -> None:
    """Killed at any moment, the service has kept all that it acknowledged, and each batch whole."""
    acknowledged: list[str] = []
    sent: list[str] = []

    def send(caller: Caller, sender: int) -> None:
        with contextlib.suppress(grpc.RpcError):
            for number in range(10_000):
                batch = f"{sender}-{number}"
                sent.append(batch)
                caller.ingest(*[new_event(external_id=f"{batch}-{n}", cost="1") for n in range(5)])
                acknowledged.append(batch)

    with process(database_url) as (service, caller):
        threads = [threading.Thread(target=send, args=(caller, sender)) for sender in range(4)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 20:
            time.sleep(0.01)
        service.kill()
        for thread in threads:
            thread.join()
    with start_server(database_url) as restarted:
        anybody = restarted.stranger()
        kept = [event.external_id for event in anybody.list_events(page_size=1_000)]
        batches = {one.rpartition("-")[0] for one in kept}
        assert batches >= set(acknowledged)
        assert batches <= set(sent)
        assert len(kept) == 5 * len(batches)
        # A retry of everything stores what is missing and nothing twice.
        for batch in sent:
            anybody.ingest(*[new_event(external_id=f"{batch}-{n}", cost="1") for n in range(5)])
        (name,) = anybody.list_names_page().names
        assert name.occurrences == 5 * len(sent)


def test_a_port_that_is_taken(start_server: StartServer, database_url: str) -> None:
    """A second service on one address does not start, and says why."""
    with (
        start_server(database_url) as first,
        pytest.raises(AddressError) as caught,
        start_server(database_url, grpc_address=first.address),
    ):
        pass
    assert str(caught.value).startswith(f"cannot listen on {first.address}: is the port taken?")


def test_a_database_that_does_not_answer(start_server: StartServer) -> None:
    """A service whose database is not there does not start."""
    from cost_insights.errors import StoreUnavailableError

    url = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing"
    with (
        pytest.raises(StoreUnavailableError) as caught,
        start_server(url),
    ):
        pass
    assert str(caught.value) == "the database does not answer; try again"


def test_too_much_waiting_is_refused(start_server: StartServer, database_url: str) -> None:
    """While more waits than is held, a call is refused at once, and says when to try again."""
    with start_server(database_url, waiting_events_max=10) as service:
        caller = service.stranger()
        caller.ingest(new_event(name="before"))
        with writes_blocked(service.store):
            futures = []
            for number in range(4):
                request = _request(f"waiting {number}")
                request.events.extend([request.events[0]] * 5)
                futures.append(caller.events.IngestEvents.future(request, timeout=60))
                # One after the other: the first is being written, the others wait.
                time.sleep(0.2)
            with refused("OVERLOADED") as call:
                caller.ingest(*[new_event()] * 6)
            assert call.refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert call.refusal.retry_seconds == 1.0
            assert call.refusal.facts["waiting_events_max"] == "10"
        stored = 0
        for future in futures:
            with contextlib.suppress(grpc.RpcError):
                stored += future.result().inserted
        assert len(caller.list_events()) == stored + 1
        assert 6 <= stored < 24
