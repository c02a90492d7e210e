"""The client for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
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


class AsyncClient:
    """The asyncio counterpart of `Client`, for one event loop."""

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_seconds: float = 30,
        retry_seconds: float = 120,
    ) -> None:
        """Connects like `Client`."""
        target = target_of(address)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, CHANNEL_OPTIONS)
        self._events: Any = EventServiceStub(self._channel)
        self._metrics: Any = MetricsServiceStub(self._channel)
        self._revenue: Any = RevenueServiceStub(self._channel)
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def ingest(
        self, events: Iterable[inputs.EventLike], *, accept_valid: bool = False
    ) -> answers.Ingested:
        """Stores events; see `Client.ingest`."""
        request = requests.ingest_request(events, accept_valid=accept_valid)
        return answers.ingested(await self._call(self._events.IngestEvents, request))

    def list_events(
        self, **wanted: Unpack[inputs.EventFilter]
    ) -> tables.AsyncRecords[records.Event]:
        """Events, the latest first."""
        request = requests.page_request(event_service_pb2.ListEventsRequest, wanted)
        return self._list(records.Event, self._events.ListEvents, request, records.events)

    async def get_event(self, event_id: str) -> records.Event:
        """The event of that id, which is a UUID; raises RefusedError if there is none."""
        request = event_service_pb2.GetEventRequest(id=event_id)
        return records.event((await self._call(self._events.GetEvent, request)).event)

    def list_event_names(self, query: str = "") -> tables.AsyncRecords[records.EventName]:
        """The names of events that contain a text, in the order of their characters."""
        request = event_service_pb2.ListEventNamesRequest(query=query)
        return self._list(
            records.EventName, self._events.ListEventNames, request, records.event_names
        )

    async def metrics(self, **question: Unpack[inputs.Question]) -> answers.MetricsAnswer:
        """Metrics per period; see `Client.metrics`."""
        request = requests.metrics_request(**question)
        response = await self._call(self._metrics.GetMetrics, request)
        return answers.metrics_answer(request, response)

    def list_costs(
        self, **wanted: Unpack[inputs.CostFilter]
    ) -> tables.AsyncRecords[records.CostRow]:
        """Costs in full detail; see `Client.list_costs`."""
        return tables.AsyncRecords(records.CostRow, self._cost_rows(wanted))

    async def metrics_limits(self) -> records.MetricsLimits:
        """The spans that metrics can be asked for."""
        request = metrics_service_pb2.GetMetricsLimitsRequest()
        return records.metrics_limits(await self._call(self._metrics.GetMetricsLimits, request))

    async def export(
        self,
        *,
        export_format: inputs.ExportFormat = "csv",
        totals: bool = False,
        timeout_seconds: float = 3_600,
        **question: Unpack[inputs.Question],
    ) -> AsyncGenerator[str, None]:
        """The rows of an export; see `Client.export`."""
        request = requests.export_request(
            requests.metrics_request(**question), export_format, totals=totals
        )
        parts: Any = None

        async def first() -> Any:
            nonlocal parts
            parts = self._metrics.ExportMetrics(
                request, timeout=timeout_seconds, metadata=self._metadata
            )
            return await anext(aiter(parts), None)

        try:
            part = await self._retried(first)
            while part is not None:
                yield part.rows
                part = await anext(aiter(parts), None)
        except grpc.RpcError as error:
            raise call_error(error) from error
        finally:
            # Runs even if the caller stops taking rows.
            if parts is not None:
                parts.cancel()

    async def record_orders(self, orders: Iterable[inputs.OrderLike]) -> records.Recorded:
        """Stores paid orders; see `Client.record_orders`."""
        request = requests.orders_request(orders)
        return records.orders_recorded(await self._call(self._revenue.RecordOrders, request))

    async def record_refunds(self, refunds: Iterable[inputs.RefundLike]) -> records.Recorded:
        """Stores refunds; see `Client.record_refunds`."""
        request = requests.refunds_request(refunds)
        return records.refunds_recorded(await self._call(self._revenue.RecordRefunds, request))

    async def record_subscriptions(
        self, subscriptions: Iterable[inputs.SubscriptionLike]
    ) -> records.StatesRecorded:
        """Stores states of subscriptions; see `Client.record_subscriptions`."""
        request = requests.subscriptions_request(subscriptions)
        return records.states_recorded(await self._call(self._revenue.RecordSubscriptions, request))

    async def record_checkouts(
        self, checkouts: Iterable[inputs.CheckoutLike]
    ) -> records.StatesRecorded:
        """Stores states of checkouts; see `Client.record_checkouts`."""
        request = requests.checkouts_request(checkouts)
        return records.states_recorded(await self._call(self._revenue.RecordCheckouts, request))

    async def record_seats(self, seats: Iterable[inputs.SeatLike]) -> records.StatesRecorded:
        """Stores states of seats; see `Client.record_seats`."""
        request = requests.seats_request(seats)
        return records.states_recorded(await self._call(self._revenue.RecordSeats, request))

    def list_orders(
        self, **wanted: Unpack[inputs.RevenueFilter]
    ) -> tables.AsyncRecords[records.Order]:
        """Orders, the latest first."""
        request = requests.page_request(revenue_service_pb2.ListOrdersRequest, wanted)
        return self._list(records.Order, self._revenue.ListOrders, request, records.orders)

    def list_refunds(
        self, **wanted: Unpack[inputs.RevenueFilter]
    ) -> tables.AsyncRecords[records.Refund]:
        """Refunds, disputes and their reversals, the latest first."""
        request = requests.page_request(revenue_service_pb2.ListRefundsRequest, wanted)
        return self._list(records.Refund, self._revenue.ListRefunds, request, records.refunds)

    def list_subscriptions(
        self, **wanted: Unpack[inputs.SubscriptionFilter]
    ) -> tables.AsyncRecords[records.Subscription]:
        """Subscriptions, the latest started first."""
        request = requests.page_request(revenue_service_pb2.ListSubscriptionsRequest, wanted)
        return self._list(
            records.Subscription, self._revenue.ListSubscriptions, request, records.subscriptions
        )

    def list_checkouts(
        self, **wanted: Unpack[inputs.RevenueFilter]
    ) -> tables.AsyncRecords[records.Checkout]:
        """Checkouts, the latest created first."""
        request = requests.page_request(revenue_service_pb2.ListCheckoutsRequest, wanted)
        return self._list(records.Checkout, self._revenue.ListCheckouts, request, records.checkouts)

    def list_seats(
        self, **wanted: Unpack[inputs.RevenueFilter]
    ) -> tables.AsyncRecords[records.Seat]:
        """Seats, the latest created first."""
        request = requests.page_request(revenue_service_pb2.ListSeatsRequest, wanted)
        return self._list(records.Seat, self._revenue.ListSeats, request, records.seats)

    def _list(
        self, kind: type[_T], method: Any, request: Any, items: Callable[[Any], Iterable[_T]]
    ) -> tables.AsyncRecords[_T]:
        return tables.AsyncRecords(kind, self._pages(method, request, items))

    async def _pages(
        self, method: Any, request: Any, items: Callable[[Any], Iterable[_T]]
    ) -> AsyncGenerator[_T, None]:
        """The items of all pages, each of which is asked for when the one before it is taken."""
        while True:
            page = await self._call(method, request)
            for item in items(page):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _cost_rows(self, wanted: inputs.CostFilter) -> AsyncGenerator[records.CostRow, None]:
        reader = records.CostReader()
        async for part in self.export(export_format="focus", **wanted):
            for row in reader.read(part):
                yield row

    async def _call(self, method: Any, request: Any) -> Any:
        async def once() -> Any:
            return await method(request, timeout=self._timeout_seconds, metadata=self._metadata)

        try:
            return await self._retried(once)
        except grpc.RpcError as error:
            raise call_error(error) from error

    async def _retried(self, call: Callable[[], Awaitable[Any]]) -> Any:
        return await tenacity.AsyncRetrying(**retries(self._retry_seconds))(call)
