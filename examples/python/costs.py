"""Sends events to Cost Insights and asks what they cost.

    costs.py ingest               sends two events
    costs.py stream ID            sends a thousand events as a stream, and goes on where it broke
    costs.py metrics START END    shows the costs of each customer from a day to another
    costs.py call METHOD FILE...  sends requests in JSON, each to its method, and shows the answers

The environment says where the service is:

    COST_INSIGHTS_GRPC_ADDRESS    HOST:PORT; 127.0.0.1:50051 unless set
    COST_INSIGHTS_TOKEN           the access token, if the service wants one
    COST_INSIGHTS_TLS             true for TLS with the authorities of the system
    COST_INSIGHTS_CA              a file of authorities, for TLS with these
"""

import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from cost_insights.v1 import (
    cost_pb2,
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    metrics_service_pb2,
    metrics_service_pb2_grpc,
    revenue_service_pb2,  # noqa: F401 (for `call`)
)

BATCHES = 20
EVENTS_PER_BATCH = 50
ATTEMPTS_MAX = 10
PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}


class RefusedError(Exception):
    """A batch of a stream that was refused."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def ingest(channel: grpc.Channel) -> None:
    """Sends two events. Their external ids make it safe to send them again: each counts once."""
    request = event_service_pb2.IngestEventsRequest(
        events=[
            event_pb2.NewEvent(
                name="llm.inference",
                external_customer_id="user_123",
                external_id="example-1",
                timestamp=dt.datetime(2026, 11, 23, 12, 0, 0, 250_000, dt.UTC),
                cost=cost_pb2.Cost(amount="0.025", currency="usd"),
                llm=cost_pb2.Llm(
                    vendor="openai", model="gpt-4", input_tokens=57, output_tokens=123
                ),
                metadata={"region": "eu", "attempts": 2, "cached": True},
            ),
            event_pb2.NewEvent(
                name="email.sent",
                external_customer_id="user_456",
                external_id="example-2",
                timestamp=dt.datetime(2026, 11, 23, 12, 0, 1, tzinfo=dt.UTC),
                cost=cost_pb2.Cost(amount="0.0001", currency="usd"),
            ),
        ]
    )
    answer = event_service_pb2_grpc.EventServiceStub(channel).IngestEvents(request)
    print(
        f"inserted {answer.inserted}, duplicates {answer.duplicates}, "
        f"conflicts {len(answer.conflicts)}"
    )


class Stream:
    """A stream, and what of it has been acknowledged."""

    def __init__(self, channel: grpc.Channel, stream_id: str) -> None:
        self._stub = event_service_pb2_grpc.EventServiceStub(channel)
        self._stream_id = stream_id
        self.acknowledged = 0
        self.events = 0

    def send(self) -> None:
        """Sends what is not acknowledged, and waits for the acknowledgements."""
        for answer in self._stub.StreamEvents(self._batches(self.acknowledged + 1)):
            if answer.HasField("error"):
                raise RefusedError(answer.error)
            self.acknowledged = answer.sequence
            self.events += answer.batch.inserted + answer.batch.duplicates

    def _batches(self, first: int) -> Iterator[event_service_pb2.StreamEventsRequest]:
        for sequence in range(first, BATCHES + 1):
            yield event_service_pb2.StreamEventsRequest(
                stream_id=self._stream_id, sequence=sequence, batch=batch(sequence)
            )


def batch(sequence: int) -> event_service_pb2.IngestEventsRequest:
    """The events of a batch. A batch that is sent again must be the same."""
    start = dt.datetime(2026, 11, 15, 12, tzinfo=dt.UTC)
    first = (sequence - 1) * EVENTS_PER_BATCH
    return event_service_pb2.IngestEventsRequest(
        events=[
            event_pb2.NewEvent(
                name="llm.inference",
                external_customer_id=f"user_{number % 4}",
                timestamp=start + dt.timedelta(seconds=number),
                cost=cost_pb2.Cost(amount=f"0.{number:04}", currency="usd"),
            )
            for number in range(first, first + EVENTS_PER_BATCH)
        ]
    )


def stream(channel: grpc.Channel, stream_id: str) -> None:
    """Sends all batches.

    When the connection breaks or the service has too much to do, another stream sends those that
    were not acknowledged again, under the same id and with the same sequences: each event counts
    once, though a batch may have been stored whose acknowledgement was lost.
    """
    stream = Stream(channel, stream_id)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            stream.send()
            break
        except grpc.RpcError as error:
            if error.code() not in PASSING or attempt == ATTEMPTS_MAX:
                raise
            print(
                f"the stream broke after batch {stream.acknowledged}: {error.details()}",
                file=sys.stderr,
            )
            time.sleep(0.1)
    print(f"acknowledged {stream.acknowledged} batches of {stream.events} events")


def metrics(channel: grpc.Channel, start: str, end: str) -> None:
    """Shows the costs of each customer in a span of days."""
    answer = metrics_service_pb2_grpc.MetricsServiceStub(channel).GetMetrics(
        metrics_service_pb2.GetMetricsRequest(
            start_date=start,
            end_date=end,
            interval=metrics_service_pb2.INTERVAL_MONTH,
            metrics=["costs"],
            group_by=metrics_service_pb2.GROUP_BY_CUSTOMER,
            groups_max=20,
        )
    )
    for group in answer.groups:
        print(f"{'others' if group.others else group.value}: {group.totals.costs}")
    print(f"all: {answer.totals.costs}")


def call(channel: grpc.Channel, *methods_and_files: str) -> None:
    """Sends requests in JSON to any RPCs with one request and one answer."""
    for method, file in zip(methods_and_files[::2], methods_and_files[1::2], strict=True):
        call_once(channel, method, file)


def call_once(channel: grpc.Channel, method: str, file: str) -> None:
    """Sends the request in a file to a method, such as SERVICE/METHOD."""
    described = descriptor_pool.Default().FindMethodByName(method.replace("/", "."))
    request_class = message_factory.GetMessageClass(described.input_type)
    request = request_class()
    json_format.Parse(Path(file).read_text(), request)
    answer = channel.unary_unary(
        f"/{method}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
    )(request)
    print(json_format.MessageToJson(answer, indent=None))


def show(status: status_pb2.Status) -> None:
    """Prints what an error says: the code, why, which fields are wrong, and when to try again."""
    (code,) = (code for code in grpc.StatusCode if code.value[0] == status.code)
    print(f"{code.name}: {status.message}")
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            print("reason", info.reason)
        elif detail.Unpack(bad_request):
            for fault in bad_request.field_violations:
                print(f"fault {fault.field}: {fault.description}")
        elif detail.Unpack(retry):
            print(f"retry after {retry.retry_delay.ToMilliseconds()} ms")


class AccessToken(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends the access token with each call, with TLS and without."""

    def __init__(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation, details, request):
        """Adds the token to a call."""
        return continuation(self._with_token(details), request)

    def intercept_stream_stream(self, continuation, details, requests):
        """Adds the token to a stream."""
        return continuation(self._with_token(details), requests)

    def _with_token(self, details):
        return details._replace(metadata=[*(details.metadata or ()), self._header])


def connect() -> grpc.Channel:
    """The connection that the environment describes."""
    address = os.environ.get("COST_INSIGHTS_GRPC_ADDRESS") or "127.0.0.1:50051"
    authorities = os.environ.get("COST_INSIGHTS_CA")
    if authorities or os.environ.get("COST_INSIGHTS_TLS") == "true":
        content = Path(authorities).read_bytes() if authorities else None
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(content))
    else:
        channel = grpc.insecure_channel(address)
    if token := os.environ.get("COST_INSIGHTS_TOKEN"):
        return grpc.intercept_channel(channel, AccessToken(token))
    return channel


COMMANDS: dict[str, Callable[..., None]] = {
    "ingest": ingest,
    "stream": stream,
    "metrics": metrics,
    "call": call,
}


def main() -> int:
    """Runs the command that the arguments name."""
    match sys.argv[1:]:
        case ["ingest"] | ["stream", _] | ["metrics", _, _]:
            command, *arguments = sys.argv[1:]
        case ["call", _, _, *rest] if len(rest) % 2 == 0:
            command, *arguments = sys.argv[1:]
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    with connect() as channel:
        try:
            COMMANDS[command](channel, *arguments)
        except RefusedError as error:
            show(error.status)
            return 1
        except grpc.RpcError as error:
            show(
                rpc_status.from_call(error)
                or status_pb2.Status(code=error.code().value[0], message=error.details())
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
