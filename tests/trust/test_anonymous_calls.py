"""Calls without a token, and calls that send nothing: nobody else notices them."""

import base64
import contextlib
import itertools
import time
from collections import Counter

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hyperframe.frame import SettingsFrame

from tests.support.attacked import AttackedService, StartAttacked
from tests.support.raw_http2 import RawConnection, framed
from tests.support.service import METHODS, Caller, new_event

INGEST = "/cost_insights.v1.EventService/IngestEvents"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

RESOURCE_EXHAUSTED = str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])


def details(trailers: dict[str, str]) -> tuple[str, bool]:
    """The reason of a refusal, and whether it says when to try again."""
    packed = trailers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason, any(
        one.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for one in status.details
    )


def check_served(victim: AttackedService, caller: Caller) -> None:
    """A valid caller and a health probe are answered."""
    for _ in range(20):
        assert caller.ingest(new_event()).inserted == 1
    with grpc.insecure_channel(victim.address) as channel:
        probe = health_pb2_grpc.HealthStub(channel)
        answer = probe.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_calls_of_a_connection_are_limited(victim: AttackedService) -> None:
    """The number of calls on a connection is announced, and calls beyond it are refused."""
    with RawConnection(victim.address) as connection:
        assert connection.wait_until(lambda: bool(connection.settings))
        limit = connection.settings[SettingsFrame.MAX_CONCURRENT_STREAMS]
        assert limit == 256
        token = victim.caller().token
        for _ in range(limit + 50):
            connection.open(INGEST, authorization=f"Bearer {token}")
        assert connection.wait_until(lambda: len(connection.resets) >= 50)


def test_watches_take_no_place_from_callers(victim: AttackedService) -> None:
    """Thousands of health watches disturb nobody; those that are too many are told so."""
    caller = victim.caller()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(victim.address)) for _ in range(10)]
        for connection in connections:
            for _ in range(250):
                connection.send(connection.open(WATCH), framed(b""))
        check_served(victim, caller)
        refused = [
            trailers
            for connection in connections
            for trailers in connection.trailers.values()
            if trailers.get("grpc-status") == RESOURCE_EXHAUSTED
        ]
        assert len(refused) > 1_000
        assert details(refused[0]) == ("OVERLOADED", True)


def test_calls_without_a_message(victim: AttackedService) -> None:
    """Thousands of calls without a token that send nothing disturb nobody."""
    caller = victim.caller()
    paths = itertools.cycle([INGEST, CHECK, REFLECTION, *METHODS])
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(victim.address)) for _ in range(10)]
        for connection in connections:
            for path in itertools.islice(paths, 250):
                connection.open(path)
        check_served(victim, caller)


def test_calls_that_are_reset_at_once(victim: AttackedService) -> None:
    """Calls that are begun and reset by the thousand fail no call of others."""
    caller = victim.caller()
    with RawConnection(victim.address) as connection:
        for _ in range(50):
            connection.open_and_reset(INGEST, 100)
        check_served(victim, caller)


def test_a_message_that_does_not_arrive(start_attacked: StartAttacked) -> None:
    """A call whose message does not arrive in time ends, of one message or of a stream."""
    with start_attacked(grpc_message_seconds=0.5) as victim:
        caller = victim.caller()
        with RawConnection(victim.address) as connection:
            streams = {
                connection.open(path, authorization=f"Bearer {caller.token}"): path
                for path in METHODS
            }
            assert connection.wait_until(
                lambda: all("grpc-status" in connection.trailers[one] for one in streams)
            )
            reasons = Counter(details(connection.trailers[one]) for one in streams)
            assert reasons == {("REQUEST_TIMEOUT", True): len(METHODS)}
        check_served(victim, caller)


def test_reflection_is_limited(victim: AttackedService) -> None:
    """A few tools at a time may look at the service."""
    with RawConnection(victim.address) as connection:
        for _ in range(20):
            connection.open(REFLECTION)
        assert connection.wait_until(lambda: len(connection.trailers) == 20)
        refused = [one for one in connection.trailers.values() if "grpc-status" in one]
        assert len(refused) == 16
        assert {details(one) for one in refused} == {("OVERLOADED", True)}


def test_a_stop_ends_open_calls(start_attacked: StartAttacked) -> None:
    """A service that is told to stop does not wait for those who watch it or look at it."""
    with (
        start_attacked(drain_seconds=5) as victim,
        RawConnection(victim.address) as connection,
    ):
        watch = connection.open(WATCH)
        connection.send(watch, framed(b""))
        reflection = connection.open(REFLECTION)
        assert connection.wait_until(lambda: connection.answers[watch] > 0)
        began = time.monotonic()
        assert victim.stop() == 0
        assert time.monotonic() - began < 20
        assert details(connection.trailers[watch]) == ("SHUTTING_DOWN", True)
        assert details(connection.trailers[reflection]) == ("SHUTTING_DOWN", True)
        # It said that it does not serve before it ended.
        assert connection.answers[watch] == 2 * len(
            framed(health_pb2.HealthCheckResponse(status=2).SerializeToString())
        )
