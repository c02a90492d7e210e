"""The client for asyncio."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
import tenacity

from cost_insights.client import answers, requests
from cost_insights.client.errors import call_error
from cost_insights.client.options import CHANNEL_OPTIONS, retries, target_of
from cost_insights.v1.event_service_pb2_grpc import EventServiceStub
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub


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
        self, events: Iterable[requests.EventLike], *, accept_valid: bool = False
    ) -> answers.Ingested:
        """Stores events; see `Client.ingest`."""
        request = requests.ingest_request(events, accept_valid=accept_valid)
        return answers.ingested(await self._call(self._events.IngestEvents, request))

    async def metrics(self, **question: Unpack[requests.Question]) -> answers.MetricsAnswer:
        """Metrics per period; see `Client.metrics`."""
        request = requests.metrics_request(**question)
        return answers.metrics_answer(await self._call(self._metrics.GetMetrics, request))

    async def export(
        self,
        *,
        export_format: str = "csv",
        timeout_seconds: float = 3_600,
        **question: Unpack[requests.Question],
    ) -> AsyncGenerator[str, None]:
        """The rows of an export; see `Client.export`."""
        request = requests.export_request(requests.metrics_request(**question), export_format)
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

    async def _call(self, method: Any, request: Any) -> Any:
        async def once() -> Any:
            return await method(request, timeout=self._timeout_seconds, metadata=self._metadata)

        try:
            return await self._retried(once)
        except grpc.RpcError as error:
            raise call_error(error) from error

    async def _retried(self, call: Callable[[], Awaitable[Any]]) -> Any:
        return await tenacity.AsyncRetrying(**retries(self._retry_seconds))(call)
