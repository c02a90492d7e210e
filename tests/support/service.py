"""Running servers and the callers that talk to them over real sockets."""

import asyncio
import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import grpc
import sqlalchemy as sa
import uvloop
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cost_insights import identity
from cost_insights.server import Server
from cost_insights.settings import Settings
from cost_insights.store import Store
from cost_insights.v1 import (
    error_reason_pb2,
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    metrics_service_pb2,
    metrics_service_pb2_grpc,
    revenue_service_pb2,
    revenue_service_pb2_grpc,
)
from tests.reference import costs as reference

T = TypeVar("T")

SERVICES = (
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
    metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"],
    revenue_service_pb2.DESCRIPTOR.services_by_name["RevenueService"],
)

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in SERVICES
    for method in service.methods
}
"""Every RPC of the contract by its path, with its descriptor."""

EVERY_SCOPE = frozenset(
    {
        "events:write",
        "events:read",
        "metrics:read",
        "metrics:write",
        "revenue:write",
        "revenue:read",
    }
)

CALL_SECONDS_MAX = 60


def raw_call(channel: grpc.Channel, method: str) -> Callable[..., bytes]:
    """An RPC of one request and one answer, both as bytes."""
    call: Callable[..., bytes] = channel.unary_unary(method)
    return call


class LoopThread:
    """An event loop in a thread of its own, for servers beside blocking tests."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], *, seconds_max: float = 60) -> T:
        """The result of the coroutine."""
        return self.begin(coroutine).result(seconds_max)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begins to run the coroutine."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Ends the loop and the thread."""
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class Caller:
    """A caller of a server, as an organization, with a token or without."""

    channel: grpc.Channel
    token: str | None = None
    organization: str = "default"
    events: event_service_pb2_grpc.EventServiceStub = field(init=False)
    metrics: metrics_service_pb2_grpc.MetricsServiceStub = field(init=False)
    revenue: revenue_service_pb2_grpc.RevenueServiceStub = field(init=False)

    def __post_init__(self) -> None:
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.metrics = metrics_service_pb2_grpc.MetricsServiceStub(self.channel)
        self.revenue = revenue_service_pb2_grpc.RevenueServiceStub(self.channel)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of each call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def call(self, method: str, request: Message | bytes) -> bytes:
        """Calls an RPC by its path and returns the bytes of the answer.

        A stream is sent the one request and returns its one answer; of many answers
        the bytes are joined.
        """
        content = request if isinstance(request, bytes) else request.SerializeToString()
        options: Any = {"metadata": self.metadata, "timeout": CALL_SECONDS_MAX}
        if METHODS[method].client_streaming:
            stream: Callable[..., Iterator[bytes]] = self.channel.stream_stream(method)
            (streamed,) = stream(iter([content]), **options)
            return streamed
        if METHODS[method].server_streaming:
            answers: Callable[..., Iterator[bytes]] = self.channel.unary_stream(method)
            return b"".join(answers(content, **options))
        return raw_call(self.channel, method)(content, **options)

    def ingest(
        self, *events: event_pb2.NewEvent, accept_valid: bool = False
    ) -> event_service_pb2.IngestEventsResponse:
        """Sends events in one request."""
        return self.ingest_request(
            event_service_pb2.IngestEventsRequest(events=events, accept_valid=accept_valid)
        )

    def ingest_json(self, *events: Mapping[str, Any]) -> event_service_pb2.IngestEventsResponse:
        """Sends events, each given as in the documented JSON."""
        return self.ingest(*(event_of(one) for one in events))

    def ingest_request(
        self, request: event_service_pb2.IngestEventsRequest
    ) -> event_service_pb2.IngestEventsResponse:
        """Sends a request as it is."""
        return self.events.IngestEvents(request, metadata=self.metadata, timeout=CALL_SECONDS_MAX)

    def get_event(self, event_id: str) -> event_pb2.Event:
        """The stored event of that id."""
        request = event_service_pb2.GetEventRequest(id=event_id)
        answer = self.events.GetEvent(request, metadata=self.metadata, timeout=CALL_SECONDS_MAX)
        return answer.event

    def list_page(self, **request: Any) -> event_service_pb2.ListEventsResponse:
        """One page of events."""
        return self.events.ListEvents(
            event_service_pb2.ListEventsRequest(**request),
            metadata=self.metadata,
            timeout=CALL_SECONDS_MAX,
        )

    def list_events(self, **request: Any) -> list[event_pb2.Event]:
        """The events of all pages."""
        events: list[event_pb2.Event] = []
        token = ""
        while True:
            page = self.list_page(**request, page_token=token)
            events += page.events
            token = page.next_page_token
            if not token:
                return events

    def list_names_page(self, **request: Any) -> event_service_pb2.ListEventNamesResponse:
        """One page of event names."""
        return self.events.ListEventNames(
            event_service_pb2.ListEventNamesRequest(**request),
            metadata=self.metadata,
            timeout=CALL_SECONDS_MAX,
        )

    def get_metrics(self, **request: Any) -> metrics_service_pb2.GetMetricsResponse:
        """Metrics of the span, UTC by default."""
        return self.metrics.GetMetrics(
            metrics_service_pb2.GetMetricsRequest(**request),
            metadata=self.metadata,
            timeout=CALL_SECONDS_MAX,
        )

    def export(self, written: str = "csv", **request: Any) -> list[str]:
        """The parts of an export, UTC by default."""
        return self._export(written, request, totals=False)

    def export_totals(self, written: str = "csv", **request: Any) -> list[str]:
        """The parts of an export of the totals of every group."""
        return self._export(written, request, totals=True)

    def _export(self, written: str, request: Mapping[str, Any], *, totals: bool) -> list[str]:
        answers = self.metrics.ExportMetrics(
            metrics_service_pb2.ExportMetricsRequest(
                metrics=metrics_service_pb2.GetMetricsRequest(**request),
                format=metrics_service_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{written.upper()}"),
                totals=totals,
            ),
            metadata=self.metadata,
            timeout=CALL_SECONDS_MAX,
        )
        return [answer.rows for answer in answers]

    def get_limits(self) -> metrics_service_pb2.GetMetricsLimitsResponse:
        """The longest span of each interval."""
        return self.metrics.GetMetricsLimits(
            metrics_service_pb2.GetMetricsLimitsRequest(),
            metadata=self.metadata,
            timeout=CALL_SECONDS_MAX,
        )


class Service:
    """A running server with its database, and a way to make callers."""

    def __init__(self, loop: LoopThread, settings: Settings) -> None:
        self._loop = loop
        self._numbers = itertools.count(1)
        self._channels: list[grpc.Channel] = []
        self.settings = settings
        self.server = Server(settings)
        self._stopped = False
        try:
            loop.run(self.server.start())
        except BaseException:
            loop.run(self.server.stop())
            raise
        self.store = Store(settings.database_url, connections_max=3)

    @property
    def address(self) -> str:
        """The address at which it listens for gRPC."""
        return self.server.grpc_address

    @property
    def url(self) -> str:
        """The URL at which it listens for HTTP, if it does."""
        return f"http://{self.server.http_address}"

    def channel(self) -> grpc.Channel:
        """A connection of its own to the server."""
        channel = grpc.insecure_channel(
            self.address,
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
            ],
        )
        self._channels.append(channel)
        return channel

    def organization(self, name: str | None = None) -> identity.Organization:
        """A new organization."""
        with self.store.write() as connection:
            return identity.create_organization(
                connection, name or f"organization {next(self._numbers)} {uuid.uuid4().hex[:8]}"
            )

    def token(
        self,
        organization: identity.Organization | str,
        scopes: frozenset[str] = EVERY_SCOPE,
        *,
        expires_us: int | None = None,
        revoked: bool = False,
    ) -> str:
        """The secret of a new access token."""
        with self.store.write() as connection:
            owner = (
                identity.find_organization(connection, organization)
                if isinstance(organization, str)
                else organization
            )
            assert owner is not None
            token, secret = identity.create_token(connection, owner, scopes, expires_us=expires_us)
            if revoked:
                identity.revoke_token(connection, token.id)
        return secret

    def revoke(self, caller: Caller) -> None:
        """Revokes the token of a caller."""
        with self.store.write() as connection:
            for token in identity.list_tokens(connection, caller.organization):
                identity.revoke_token(connection, token.id)

    def caller(
        self,
        organization: str | None = None,
        *,
        scopes: frozenset[str] = EVERY_SCOPE,
        expires_us: int | None = None,
        revoked: bool = False,
    ) -> Caller:
        """A caller with a token; of a new organization unless one that exists is named."""
        owner = self.organization().name if organization is None else organization
        secret = self.token(owner, scopes, expires_us=expires_us, revoked=revoked)
        return Caller(self.channel(), secret, owner)

    def stranger(self, token: str | None = None) -> Caller:
        """A caller with that token, or without any."""
        return Caller(self.channel(), token)

    def begin_stop(self) -> Future[None]:
        """Begins to stop the server; the future is done once it has stopped."""
        self._stopped = True
        return self._loop.begin(self.server.stop())

    def close(self) -> None:
        """Stops the server and closes everything."""
        for channel in self._channels:
            channel.close()
        if not self._stopped:
            self._loop.run(self.server.stop())
        self.store.close()


StartServer = Callable[..., AbstractContextManager[Service]]
"""Starts a server on a given database, with given settings."""


@contextlib.contextmanager
def running(loop: LoopThread, database_url: str, **settings: Any) -> Iterator[Service]:
    """A server on a free port for the time of the block."""
    settings.setdefault("grpc_address", "127.0.0.1:0")
    settings.setdefault("http_address", "")
    service = Service(loop, Settings(database_url=database_url, **settings))
    try:
        yield service
    finally:
        service.close()


@contextlib.contextmanager
def writes_blocked(store: Store) -> Iterator[None]:
    """Keeps everybody else from writing events for the time of the block."""
    with store.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("LOCK TABLE event IN EXCLUSIVE MODE"))
        yield


@dataclass(frozen=True)
class Refusal:
    """The content of a non-OK status."""

    code: grpc.StatusCode
    message: str
    reason: str
    facts: Mapping[str, str]
    faults: Sequence[error_details_pb2.BadRequest.FieldViolation]
    retry_seconds: float | None

    @property
    def paths(self) -> list[str]:
        """The path of each fault."""
        return [fault.field for fault in self.faults]

    @property
    def reasons(self) -> list[str]:
        """The reason of each fault."""
        return [fault.reason for fault in self.faults]


REASONS = frozenset(
    name.removeprefix("ERROR_REASON_")
    for name, number in error_reason_pb2.ErrorReason.items()
    if number
)


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Takes a status apart, holding it to the rules that every status follows."""
    call = cast("grpc.Call", error)
    status = rpc_status.from_call(call)
    assert status is not None, f"a status without details: {call.code()} {call.details()}"
    assert status.code == call.code().value[0]
    assert status.message == call.details()
    assert status.message
    details: dict[str, Message] = {}
    for packed in status.details:
        name = packed.type_url.rpartition("/")[2]
        assert name not in details, f"two {name} in one status"
        detail: Message = getattr(error_details_pb2, name.rpartition(".")[2])()
        assert packed.Unpack(detail)
        details[name] = detail
    info = details.pop("google.rpc.ErrorInfo")
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.domain == "cost-insights"
    assert info.reason in REASONS
    faults: list[error_details_pb2.BadRequest.FieldViolation] = []
    if bad_request := details.pop("google.rpc.BadRequest", None):
        assert isinstance(bad_request, error_details_pb2.BadRequest)
        faults = list(bad_request.field_violations)
        assert all(fault.reason in REASONS and fault.description for fault in faults)
        assert faults[0].reason == info.reason
        assert faults[0].field == info.metadata["path"]
    retry_seconds = None
    if retry := details.pop("google.rpc.RetryInfo", None):
        assert isinstance(retry, error_details_pb2.RetryInfo)
        retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    assert not details
    return Refusal(
        call.code(), status.message, info.reason, dict(info.metadata), faults, retry_seconds
    )


class Refused:
    """Expects a block to end with a status that is not OK; holds what it said."""

    def __init__(self, reason: str | None = None) -> None:
        self._expected = reason
        self._refusal: Refusal | None = None

    def __enter__(self) -> "Refused":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert error is not None, "the call was not refused"
        if not isinstance(error, grpc.RpcError):
            return False
        self._refusal = refusal_of(error)
        if self._expected is not None:
            assert self._refusal.reason == self._expected
        return True

    @property
    def refusal(self) -> Refusal:
        """The refusal that the block ended with."""
        assert self._refusal is not None
        return self._refusal


def refused(reason: str | None = None) -> Refused:
    """Expects a block to be refused, for that reason if one is given."""
    return Refused(reason)


def event_of(json: Mapping[str, Any]) -> event_pb2.NewEvent:
    """An event in the documented JSON form."""
    return json_format.ParseDict(dict(json), event_pb2.NewEvent())


def new_event(**fields: Any) -> event_pb2.NewEvent:
    """An event; what is not given is something valid. A `cost` may be given as its amount."""
    cost = fields.pop("cost", None)
    if isinstance(cost, str):
        cost = {"amount": cost, "currency": "usd"}
    if cost is not None:
        fields["cost"] = cost
    if "customer_id" not in fields:
        fields.setdefault("external_customer_id", "user_123")
    fields.setdefault("name", "llm.inference")
    return event_pb2.NewEvent(**fields)


def now_us() -> int:
    """The time in microseconds since 1970."""
    return time.time_ns() // 1_000


def numbers_of(
    one: metrics_service_pb2.MetricsPeriod | metrics_service_pb2.MetricsTotals,
) -> reference.Numbers:
    """The numbers of an answer, as the twin writes them."""
    return reference.Numbers(
        costs=one.costs,
        cumulative_costs=one.cumulative_costs,
        active_user_by_event=one.active_user_by_event,
        cost_per_user=one.cost_per_user,
        input_tokens=one.input_tokens,
        cached_input_tokens=one.cached_input_tokens,
        output_tokens=one.output_tokens,
        total_tokens=one.total_tokens,
    )


def metrics_on_paper(answer: metrics_service_pb2.GetMetricsResponse) -> reference.Metrics:
    """An answer, as the twin writes it."""

    def rows(
        periods: Iterable[metrics_service_pb2.MetricsPeriod],
    ) -> tuple[tuple[str, reference.Numbers], ...]:
        return tuple((period.timestamp, numbers_of(period)) for period in periods)

    return reference.Metrics(
        rows(answer.periods),
        numbers_of(answer.totals),
        tuple(
            reference.Group(
                group.value,
                group.others,
                group.members,
                rows(group.periods),
                numbers_of(group.totals),
            )
            for group in answer.groups
        ),
    )


def lately() -> dict[str, str]:
    """A span of days around now, also where midnight is near."""
    today = datetime.now(UTC).date()
    return {
        "start_date": str(today - timedelta(days=1)),
        "end_date": str(today + timedelta(days=1)),
    }
