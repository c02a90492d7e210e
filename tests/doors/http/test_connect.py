"""Every RPC by real clients of the Connect protocol and gRPC-Web, in JSON and in protobuf."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from connectrpc.client import ConnectClientSync
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from cost_insights.v1 import event_service_pb2, metrics_service_pb2
from tests.support.samples import SAMPLES
from tests.support.service import METHODS, Caller, Service, new_event

PROTOCOLS = (ProtocolType.CONNECT, ProtocolType.GRPC_WEB)
CODECS = {"json": google_protobuf_json_codec(), "proto": google_protobuf_binary_codec()}
EVENTS = "/cost_insights.v1.EventService"
METRICS = "/cost_insights.v1.MetricsService"

STREAM_TYPES = {
    (False, False): StreamType.UNARY,
    (False, True): StreamType.SERVER_STREAM,
    (True, True): StreamType.BIDI_STREAM,
}


class Client:
    """A caller by one of the protocols, with one of the codecs."""

    def __init__(self, url: str, protocol: ProtocolType, codec: str, token: str | None) -> None:
        self._client = ConnectClientSync(url, protocol=protocol, codec=CODECS[codec])
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}

    def call(self, path: str, *requests: Message) -> list[Any]:
        """The answers to a call by its path."""
        described = METHODS[path]
        method: MethodInfo[Any, Any] = MethodInfo(
            name=described.name,
            service_name=described.containing_service.full_name,
            input=message_factory.GetMessageClass(described.input_type),
            output=message_factory.GetMessageClass(described.output_type),
            idempotency_level=IdempotencyLevel.UNKNOWN,
            stream_type=STREAM_TYPES[described.client_streaming, described.server_streaming],
        )
        options: Any = {"method": method, "headers": self._headers, "timeout_ms": 60_000}
        if described.client_streaming:
            return list(self._client.execute_bidi_stream(request=iter(requests), **options))
        (request,) = requests
        if described.server_streaming:
            return list(self._client.execute_server_stream(request=request, **options))
        return [self._client.execute_unary(request=request, **options)]

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


@pytest.fixture(
    params=itertools.product(PROTOCOLS, CODECS), ids=lambda one: f"{one[0].name}-{one[1]}"
)
def way(request: pytest.FixtureRequest) -> tuple[ProtocolType, str]:
    """Each protocol with each codec."""
    way: tuple[ProtocolType, str] = request.param
    return way


@pytest.fixture
def caller(web: Service) -> Caller:
    """A caller of a new organization, over gRPC."""
    return web.caller()


@pytest.fixture
def client(web: Service, way: tuple[ProtocolType, str], caller: Caller) -> Iterator[Client]:
    """The same caller in another way."""
    client = Client(web.url, *way, caller.token)
    yield client
    client.close()


@pytest.mark.parametrize("path", METHODS)
def test_every_rpc(client: Client, caller: Caller, path: str) -> None:
    """An RPC answers as over gRPC, or refuses with the same code."""
    if path == f"{EVENTS}/GetEvent":
        with pytest.raises(ConnectError) as caught:
            client.call(path, SAMPLES[path])
        assert caught.value.code is Code.NOT_FOUND
        return
    answers = client.call(path, SAMPLES[path])
    assert answers
    answered = b"".join(answer.SerializeToString() for answer in answers)
    # What is sent again is a duplicate or stored already, which the answers say.
    if path.rpartition("/")[2].startswith(("Get", "List", "Export")):
        assert answered == caller.call(path, SAMPLES[path])


def test_events_come_back(client: Client, caller: Caller) -> None:
    """What is stored over gRPC is listed alike, and the other way round."""
    ingest = event_service_pb2.IngestEventsRequest(
        events=[new_event(name="by Connect", cost="0.000000000001", external_id="1")]
    )
    (answer,) = client.call(f"{EVENTS}/IngestEvents", ingest)
    assert (answer.inserted, answer.duplicates) == (1, 0)
    assert caller.ingest(*ingest.events).duplicates == 1
    (listed,) = client.call(f"{EVENTS}/ListEvents", event_service_pb2.ListEventsRequest())
    assert list(listed.events) == caller.list_events()


def test_a_stream_of_batches(client: Client, caller: Caller) -> None:
    """Batches are acknowledged in order; over HTTP/1.1 a client sends all before it reads."""
    requests = [
        event_service_pb2.StreamEventsRequest(
            stream_id="s",
            sequence=sequence,
            batch=event_service_pb2.IngestEventsRequest(events=[new_event(name=f"{sequence}")]),
        )
        for sequence in (1, 2, 3)
    ]
    answers = client.call(f"{EVENTS}/StreamEvents", *requests)
    assert [(one.sequence, one.batch.inserted) for one in answers] == [(1, 1), (2, 1), (3, 1)]
    assert {event.name for event in caller.list_events()} == {"1", "2", "3"}


def test_errors_have_their_details(
    client: Client, web: Service, way: tuple[ProtocolType, str]
) -> None:
    """An error has the code, message and details that gRPC answers."""
    request = metrics_service_pb2.GetMetricsRequest(start_date="x", end_date="2026-11-01")
    with pytest.raises(ConnectError) as caught:
        client.call(f"{METRICS}/GetMetrics", request)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message.startswith("start_date: 'x' is not a date")
    info, bad_request = caught.value.details
    assert info.type_name == "google.rpc.ErrorInfo"
    assert error_details_pb2.ErrorInfo.FromString(info.message_bytes).reason == "DATE_INVALID"
    violations = error_details_pb2.BadRequest.FromString(bad_request.message_bytes)
    assert [one.field for one in violations.field_violations] == ["start_date"]
    stranger = Client(web.url, *way, None)
    with pytest.raises(ConnectError) as caught:
        stranger.call(f"{METRICS}/GetMetrics", request)
    assert caught.value.code is Code.UNAUTHENTICATED
    stranger.close()
