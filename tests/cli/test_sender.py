"""A request that does not get through is retried exactly where nothing can be stored twice."""

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_status import rpc_status

from cost_insights.cli.client import Service
from cost_insights.cli.console import CommandError
from cost_insights.cli.sender import IN_FLIGHT_MAX, Counts, Sender, Source
from cost_insights.ingest.ndjson import LineFault
from cost_insights.v1.event_service_pb2 import IngestEventsRequest, IngestEventsResponse

DONE = None
"""In a script: the call stores its events."""


class ScriptedService:
    """Answers calls by a script of (code, reason); once it is over, every call succeeds."""

    def __init__(self, *script: tuple[grpc.StatusCode, str] | None) -> None:
        self._script = list(script)
        self._lock = threading.Lock()
        self.calls: list[int] = []
        """How many events each call had."""
        self.names: list[str] = []
        """The names of the events that were stored, in the order of the calls."""
        self.events_max = 10_000

    def handler(self) -> grpc.GenericRpcHandler:
        """The service as a server takes it."""
        ingest = grpc.unary_unary_rpc_method_handler(
            self._ingest,
            request_deserializer=IngestEventsRequest.FromString,
            response_serializer=IngestEventsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(
            "cost_insights.v1.EventService", {"IngestEvents": ingest}
        )

    def _ingest(
        self, request: IngestEventsRequest, context: grpc.ServicerContext
    ) -> IngestEventsResponse:
        with self._lock:
            self.calls.append(len(request.events))
            step = self._script.pop(0) if self._script else DONE
            if step is DONE and len(request.events) > self.events_max:
                step = (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_EVENTS")
            if step is DONE:
                self.names += [event.name for event in request.events]
                return IngestEventsResponse(inserted=len(request.events))
        code, reason = step
        if not reason:
            context.abort(code, "no details")
        info = error_details_pb2.ErrorInfo(reason=reason, domain="cost-insights")
        packed = any_pb2.Any()
        packed.Pack(info)
        status = status_pb2.Status(code=code.value[0], message="try again", details=[packed])
        context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort returned")


class Notes:
    """Keeps what a sender tells."""

    def __init__(self) -> None:
        self.faults: list[tuple[int, str]] = []

    def fault(self, line: int, fault: LineFault) -> None:
        self.faults.append((line, fault.message))

    def progress(self, counts: Counts, bytes_read: int) -> None:
        """Not of interest here."""


@pytest.fixture
def grpc_server() -> Iterator[grpc.Server]:
    """A server without services on it, not started."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    yield server
    server.stop(None).wait()


def send(
    server: grpc.Server,
    service: ScriptedService,
    lines: Sequence[str],
    folder: Path,
    *,
    batch_events: int = 2,
    retry_seconds: float = 5,
) -> tuple[Counts, list[tuple[int, str]]]:
    """Sends lines to the service; raises what the sender raises."""
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    file = folder / "events.ndjson"
    file.write_text("\n".join(lines))
    notes = Notes()
    descriptor = os.open(file, os.O_RDONLY)
    try:
        sender = Sender(
            Source("events.ndjson", descriptor, None, waits=False),
            Service(f"127.0.0.1:{port}"),
            notes,
            batch_events=batch_events,
            retry_seconds=retry_seconds,
        )
        asyncio.run(sender.run())
    finally:
        os.close(descriptor)
    return sender.counts, notes.faults


def keyed(count: int) -> list[str]:
    """Events with an external id."""
    return [f'{{"name": "{n}", "external_id": "{n}"}}' for n in range(1, count + 1)]


def unkeyed(count: int) -> list[str]:
    """Events without an external id."""
    return [f'{{"name": "{n}"}}' for n in range(1, count + 1)]


OVERLOADED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
SHUTTING_DOWN = (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
STORE_UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
LOST = (grpc.StatusCode.UNAVAILABLE, "")


@pytest.mark.parametrize("step", [OVERLOADED, SHUTTING_DOWN])
def test_retries_any_event_where_nothing_was_stored(
    grpc_server: grpc.Server, tmp_path: Path, step: tuple[grpc.StatusCode, str]
) -> None:
    """A service that says that nothing was stored is asked again, with or without external ids."""
    service = ScriptedService(step, step)
    counts, _ = send(grpc_server, service, unkeyed(2), tmp_path)
    assert counts == Counts(inserted=2)
    assert service.calls == [2, 2, 2]


@pytest.mark.parametrize(
    "step",
    [
        STORE_UNAVAILABLE,
        LOST,
        (grpc.StatusCode.DEADLINE_EXCEEDED, ""),
        (grpc.StatusCode.CANCELLED, ""),
    ],
)
def test_retries_only_external_ids_after_an_ambiguous_failure(
    grpc_server: grpc.Server, tmp_path: Path, step: tuple[grpc.StatusCode, str]
) -> None:
    """An answer that was lost may mean that the events are stored: only keys make a retry safe."""
    service = ScriptedService(step)
    counts, _ = send(grpc_server, service, keyed(2), tmp_path)
    assert counts == Counts(inserted=2)
    assert service.calls == [2, 2]


@pytest.mark.parametrize("step", [STORE_UNAVAILABLE, LOST])
def test_stops_where_a_retry_could_store_twice(
    grpc_server: grpc.Server, tmp_path: Path, step: tuple[grpc.StatusCode, str]
) -> None:
    """One event without an external id forbids the retry of its request; every line is accounted
    for."""
    service = ScriptedService(DONE, step)
    lines = [*unkeyed(2), *keyed(1), '{"name": "no key"}']
    with pytest.raises(CommandError) as stopped:
        send(grpc_server, service, lines, tmp_path)
    assert stopped.value.exit_code == 3
    words = str(stopped.value)
    assert words.startswith("events.ndjson: stopped: 127.0.0.1:")
    # Requests are in flight side by side, so either of the two may have met the failure.
    assert service.names in (["1", "2"], ["1", "no key"])
    assert words.endswith(
        "; every line up to 2 is stored or named above; lines 3 to 4 may be stored or not"
        if service.names == ["1", "2"]
        else "; lines 1 to 2 may be stored or not"
    )


def test_an_overload_before_an_ambiguous_failure_does_not_make_it_safe(
    grpc_server: grpc.Server, tmp_path: Path
) -> None:
    """Each attempt counts: the second may have stored what the first did not."""
    service = ScriptedService(OVERLOADED, LOST)
    with pytest.raises(CommandError, match="lines 1 to 2 may be stored or not"):
        send(grpc_server, service, unkeyed(2), tmp_path)
    assert service.calls == [2, 2]


def test_gives_up_after_a_while(grpc_server: grpc.Server, tmp_path: Path) -> None:
    """Retrying ends; what is certain not to be stored is said to be so."""
    service = ScriptedService(*[OVERLOADED] * 1_000)
    with pytest.raises(CommandError) as stopped:
        send(grpc_server, service, unkeyed(2), tmp_path, retry_seconds=0.5)
    assert stopped.value.exit_code == 3
    assert str(stopped.value).endswith("try again (OVERLOADED); lines 1 to 2 are not stored")
    assert 2 <= len(service.calls) <= 10


def test_a_refusal_is_not_retried(grpc_server: grpc.Server, tmp_path: Path) -> None:
    """A token that is wrong stays wrong: the command ends with what the service says."""
    service = ScriptedService(*[(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_UNKNOWN")] * IN_FLIGHT_MAX)
    with pytest.raises(CommandError) as stopped:
        send(grpc_server, service, keyed(100), tmp_path)
    assert stopped.value.exit_code == 1
    assert str(stopped.value) == (
        "events.ndjson: stopped: try again (TOKEN_UNKNOWN); lines 1 to 8 are not stored; "
        "nothing from line 9 on was sent"
    )
    assert service.names == []


def test_splits_what_the_service_does_not_take_at_once(
    grpc_server: grpc.Server, tmp_path: Path
) -> None:
    """A service with smaller limits gets smaller requests, in the order of the lines."""
    service = ScriptedService()
    service.events_max = 3
    counts, faults = send(grpc_server, service, unkeyed(10), tmp_path, batch_events=10)
    assert (counts, faults) == (Counts(inserted=10), [])
    assert service.names == [str(n) for n in range(1, 11)]


def test_names_an_event_that_is_too_large_alone(grpc_server: grpc.Server, tmp_path: Path) -> None:
    """An event that the service does not take even alone is a fault of its line."""
    service = ScriptedService()
    service.events_max = 0
    counts, faults = send(grpc_server, service, ["", *unkeyed(2)], tmp_path)
    assert counts == Counts(refused=2)
    assert faults == [(2, "try again"), (3, "try again")]


def test_everything_in_flight_is_accounted_for(grpc_server: grpc.Server, tmp_path: Path) -> None:
    """What overtook the request that failed is counted, and the lines that failed are named."""
    service = ScriptedService(LOST)
    with pytest.raises(CommandError) as stopped:
        send(grpc_server, service, unkeyed(10_000), tmp_path)
    words = str(stopped.value)
    assert "may be stored or not" in words
    assert "nothing from line " in words
    sent_to = int(words.partition("nothing from line ")[2].split()[0]) - 1
    # All that was sent but the one request that failed.
    assert len(service.names) == sent_to - 2


def test_stops_at_a_service_that_is_no_service_of_this_kind(
    grpc_server: grpc.Server, tmp_path: Path
) -> None:
    """A server without the call is told from one that cannot be reached."""
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    file = tmp_path / "events.ndjson"
    file.write_text(keyed(1)[0])
    descriptor = os.open(file, os.O_RDONLY)
    source = Source("events.ndjson", descriptor, None, waits=False)
    sender = Sender(source, Service(f"127.0.0.1:{port}"), Notes(), batch_events=1, retry_seconds=5)
    try:
        with pytest.raises(CommandError) as stopped:
            asyncio.run(sender.run())
    finally:
        os.close(descriptor)
    assert stopped.value.exit_code == 1
    assert "(UNIMPLEMENTED)" in str(stopped.value)
