"""The client that blocks."""

import datetime
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import stamina

from cost_insights.client import answers, requests
from cost_insights.client.errors import call_error, is_retryable
from cost_insights.client.options import CHANNEL_OPTIONS, retries
from cost_insights.v1.event_service_pb2_grpc import EventServiceStub
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub


class Client:
    """Calls the service and waits for its answers; safe to share between threads.

    A call that fails in passing is tried again, with growing pauses, for up to
    `retry_seconds`; each try may take `timeout_seconds`.
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
        """`credentials` turn TLS on, such as `grpc.ssl_channel_credentials()`."""
        if credentials is None:
            self._channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, CHANNEL_OPTIONS)
        self._events = EventServiceStub(self._channel)
        self._metrics = MetricsServiceStub(self._channel)
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
        self, events: Iterable[requests.EventLike], *, accept_valid: bool = False
    ) -> answers.Ingested:
        """Stores events, all or none unless `accept_valid`, and returns once they are on disk.

        An event without an `external_id` gets one. Raises RefusedError if one is
        malformed, UnavailableError if the service does not answer.
        """
        request = requests.ingest_request(events, accept_valid=accept_valid)
        return answers.ingested(self._call(self._events.IngestEvents, request))

    def metrics(
        self,
        *,
        start: datetime.date,
        end: datetime.date,
        interval: str = "day",
        timezone: str = "UTC",
        customer_ids: Sequence[str] = (),
        external_customer_ids: Sequence[str] = (),
        event_names: Sequence[str] = (),
        llm_vendors: Sequence[str] = (),
        llm_models: Sequence[str] = (),
        metrics: Sequence[str] = (),
        group_by: str | None = None,
        groups_max: int = 10,
    ) -> answers.MetricsAnswer:
        """Metrics per period of the days from `start` to `end`, both included.

        `interval` is hour, day, week, month or year; `metrics` are slugs, all when
        empty. `group_by` is event_name, llm_vendor, llm_model or customer: the groups
        that cost most come first, at most `groups_max`, and then that of the others.
        Amounts are `Decimal`s of cents. Raises RefusedError, UnavailableError.
        """
        request = requests.metrics_request(
            start=start,
            end=end,
            interval=interval,
            timezone=timezone,
            customer_ids=customer_ids,
            external_customer_ids=external_customer_ids,
            event_names=event_names,
            llm_vendors=llm_vendors,
            llm_models=llm_models,
            metrics=metrics,
            group_by=group_by,
            groups_max=groups_max,
        )
        return answers.metrics_answer(self._call(self._metrics.GetMetrics, request))

    def _call(self, method: Any, request: Any) -> Any:
        try:
            for attempt in stamina.retry_context(on=is_retryable, **retries(self._retry_seconds)):
                with attempt:
                    return method(request, timeout=self._timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise call_error(error) from error
        raise AssertionError("a retry neither returned nor raised")
