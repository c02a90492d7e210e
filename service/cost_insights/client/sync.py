"""The client that blocks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import grpc
import tenacity

from cost_insights.client import answers, requests
from cost_insights.client.errors import call_error
from cost_insights.client.later import Later
from cost_insights.client.options import CHANNEL_OPTIONS, retries, target_of
from cost_insights.v1 import event_service_pb2, metrics_service_pb2, revenue_service_pb2
from cost_insights.v1.event_service_pb2_grpc import EventServiceStub
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub
from cost_insights.v1.revenue_service_pb2_grpc import RevenueServiceStub

if TYPE_CHECKING:
    from cost_insights.client import inputs, records, tables
else:
    records = Later("cost_insights.client.records")
    tables = Later("cost_insights.client.tables")

_T = TypeVar("_T")


class Client:
    """Calls the service and waits for its answers; safe to share between threads.

    A call that fails in passing is tried again, with growing pauses, for up to
    `retry_seconds`; each try may take `timeout_seconds`. The logger
    `cost_insights.client` warns of each that failed, and says why.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_seconds: float = 30,
        retry_seconds: float = 120,
    ) -> None:
        """`address` without a port means port 50051.

        `credentials` turn TLS on, such as `grpc.ssl_channel_credentials()`.
        """
        target = target_of(address)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(target, credentials, CHANNEL_OPTIONS)
        self._events: Any = EventServiceStub(self._channel)
        self._metrics: Any = MetricsServiceStub(self._channel)
        self._revenue: Any = RevenueServiceStub(self._channel)
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def ingest(
        self, events: Iterable[inputs.EventLike], *, accept_valid: bool = False
    ) -> answers.Ingested:
        """Stores events, all or none unless `accept_valid`, and returns once they are on disk.

        An event without an `external_id` gets one. Raises RefusedError if one is
        malformed, UnavailableError if the service does not answer.
        """
        request = requests.ingest_request(events, accept_valid=accept_valid)
        return answers.ingested(self._call(self._events.IngestEvents, request))

    def list_events(self, **wanted: Unpack[inputs.EventFilter]) -> tables.Records[records.Event]:
        """Events, the latest first."""
        request = requests.page_request(event_service_pb2.ListEventsRequest, wanted)
        return self._list(records.Event, self._events.ListEvents, request, records.events)

    def get_event(self, event_id: str) -> records.Event:
        """The event of that id, which is a UUID; raises RefusedError if there is none."""
        request = event_service_pb2.GetEventRequest(id=event_id)
        return records.event((self._call(self._events.GetEvent, request)).event)

    def list_event_names(self, query: str = "") -> tables.Records[records.EventName]:
        """The names of events that contain a text, in the order of their characters."""
        request = event_service_pb2.ListEventNamesRequest(query=query)
        return self._list(
            records.EventName, self._events.ListEventNames, request, records.event_names
        )

    def metrics(self, **question: Unpack[inputs.Question]) -> answers.MetricsAnswer:
        """Metrics per period; amounts are `Decimal`s of cents.

        The arguments are those of `Question`. Raises RefusedError, UnavailableError.
        """
        request = requests.metrics_request(**question)
        response = self._call(self._metrics.GetMetrics, request)
        return answers.metrics_answer(request, response)

    def list_costs(self, **wanted: Unpack[inputs.CostFilter]) -> tables.Records[records.CostRow]:
        """Costs in full detail: a row for each day, customer, event name, model and product with
        an event, ordered by month, customer and day."""
        parts = self.export(export_format="focus", **wanted)
        return tables.Records(records.CostRow, self._cost_rows(parts))

    def metrics_limits(self) -> records.MetricsLimits:
        """The spans that metrics can be asked for."""
        request = metrics_service_pb2.GetMetricsLimitsRequest()
        return records.metrics_limits(self._call(self._metrics.GetMetricsLimits, request))

    def export(
        self,
        *,
        export_format: inputs.ExportFormat = "csv",
        totals: bool = False,
        timeout_seconds: float = 3_600,
        **question: Unpack[inputs.Question],
    ) -> Generator[str, None, None]:
        """Metrics as rows of text, some whole lines at a time; joined they are the file.

        `export_format` is csv, json_lines or focus, which are the costs of each day,
        customer, event name, model and product and take no interval, metrics or groups.
        With `totals` there is a row for each group, of the whole span, however many there are;
        it needs `group_by` and takes no `groups_max`.
        The other arguments are those of `Question`. A part that is not taken for long ends
        the export; it may take `timeout_seconds` in all. Only what fails before the first
        part is tried again. Raises RefusedError, UnavailableError.
        """
        request = requests.export_request(
            requests.metrics_request(**question), export_format, totals=totals
        )
        parts: Any = None

        def first() -> Any:
            nonlocal parts
            parts = self._metrics.ExportMetrics(
                request, timeout=timeout_seconds, metadata=self._metadata
            )
            return next(parts, None)

        try:
            part = self._retried(first)
            while part is not None:
                yield part.rows
                part = next(parts, None)
        except grpc.RpcError as error:
            raise call_error(error) from error
        finally:
            # Also where the caller takes no more.
            if parts is not None:
                parts.cancel()

    def record_orders(self, orders: Iterable[inputs.OrderLike]) -> records.Recorded:
        """Stores paid orders, all or none. Raises InvalidRecordError, RefusedError,
        UnavailableError, as all calls do that store records.
        """
        request = requests.orders_request(orders)
        return records.orders_recorded(self._call(self._revenue.RecordOrders, request))

    def record_refunds(self, refunds: Iterable[inputs.RefundLike]) -> records.Recorded:
        """Stores refunds, disputes and their reversals, all or none."""
        request = requests.refunds_request(refunds)
        return records.refunds_recorded(self._call(self._revenue.RecordRefunds, request))

    def record_subscriptions(
        self, subscriptions: Iterable[inputs.SubscriptionLike]
    ) -> records.StatesRecorded:
        """Stores states of subscriptions, all or none; the latest state of each counts."""
        request = requests.subscriptions_request(subscriptions)
        return records.states_recorded(self._call(self._revenue.RecordSubscriptions, request))

    def record_checkouts(self, checkouts: Iterable[inputs.CheckoutLike]) -> records.StatesRecorded:
        """Stores states of checkouts, all or none; the latest state of each counts."""
        request = requests.checkouts_request(checkouts)
        return records.states_recorded(self._call(self._revenue.RecordCheckouts, request))

    def record_seats(self, seats: Iterable[inputs.SeatLike]) -> records.StatesRecorded:
        """Stores states of seats, all or none; the latest state of each counts."""
        request = requests.seats_request(seats)
        return records.states_recorded(self._call(self._revenue.RecordSeats, request))

    def list_orders(self, **wanted: Unpack[inputs.RevenueFilter]) -> tables.Records[records.Order]:
        """Orders, the latest first."""
        request = requests.page_request(revenue_service_pb2.ListOrdersRequest, wanted)
        return self._list(records.Order, self._revenue.ListOrders, request, records.orders)

    def list_refunds(
        self, **wanted: Unpack[inputs.RevenueFilter]
    ) -> tables.Records[records.Refund]:
        """Refunds, disputes and their reversals, the latest first."""
        request = requests.page_request(revenue_service_pb2.ListRefundsRequest, wanted)
        return self._list(records.Refund, self._revenue.ListRefunds, request, records.refunds)

    def list_subscriptions(
        self, **wanted: Unpack[inputs.SubscriptionFilter]
    ) -> tables.Records[records.Subscription]:
        """Subscriptions, the latest started first."""
        request = requests.page_request(revenue_service_pb2.ListSubscriptionsRequest, wanted)
        return self._list(
            records.Subscription, self._revenue.ListSubscriptions, request, records.subscriptions
        )

    def list_checkouts(
        self, **wanted: Unpack[inputs.RevenueFilter]
    ) -> tables.Records[records.Checkout]:
        """Checkouts, the latest created first."""
        request = requests.page_request(revenue_service_pb2.ListCheckoutsRequest, wanted)
        return self._list(records.Checkout, self._revenue.ListCheckouts, request, records.checkouts)

    def list_seats(self, **wanted: Unpack[inputs.RevenueFilter]) -> tables.Records[records.Seat]:
        """Seats, the latest created first."""
        request = requests.page_request(revenue_service_pb2.ListSeatsRequest, wanted)
        return self._list(records.Seat, self._revenue.ListSeats, request, records.seats)

    def _list(
        self, kind: type[_T], method: Any, request: Any, items: Callable[[Any], Iterable[_T]]
    ) -> tables.Records[_T]:
        return tables.Records(kind, self._pages(method, request, items))

    def _pages(
        self, method: Any, request: Any, items: Callable[[Any], Iterable[_T]]
    ) -> Generator[_T, None, None]:
        """The items of all pages, each of which is asked for when the one before it is taken."""
        while True:
            page = self._call(method, request)
            yield from items(page)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _cost_rows(self, parts: Iterable[str]) -> Generator[records.CostRow, None, None]:
        reader = records.CostReader()
        for part in parts:
            yield from reader.read(part)

    def _call(self, method: Any, request: Any) -> Any:
        def once() -> Any:
            return method(request, timeout=self._timeout_seconds, metadata=self._metadata)

        try:
            return self._retried(once)
        except grpc.RpcError as error:
            raise call_error(error) from error

    def _retried(self, call: Callable[[], Any]) -> Any:
        return tenacity.Retrying(**retries(self._retry_seconds))(call)
