"""The client that blocks."""

from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
import tenacity

from cost_insights.client import answers, requests
from cost_insights.client.errors import call_error
from cost_insights.client.options import CHANNEL_OPTIONS, retries, target_of
from cost_insights.v1.event_service_pb2_grpc import EventServiceStub
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub


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
        self._events = EventServiceStub(self._channel)
        self._metrics: Any = MetricsServiceStub(self._channel)
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

    def metrics(self, **question: Unpack[requests.Question]) -> answers.MetricsAnswer:
        """Metrics per period; amounts are `Decimal`s of cents.

        The arguments are those of `Question`. Raises RefusedError, UnavailableError.
        """
        request = requests.metrics_request(**question)
        return answers.metrics_answer(self._call(self._metrics.GetMetrics, request))

    def export(
        self,
        *,
        export_format: str = "csv",
        timeout_seconds: float = 3_600,
        **question: Unpack[requests.Question],
    ) -> Generator[str, None, None]:
        """Metrics as rows of text, some whole lines at a time; joined they are the file.

        `export_format` is csv, json_lines or focus, which are the costs of each day,
        customer, event name, model and product and take no interval, metrics or groups.
        The other arguments are those of `Question`. A part that is not taken for long ends
        the export; it may take `timeout_seconds` in all. Only what fails before the first
        part is tried again. Raises RefusedError, UnavailableError.
        """
        request = requests.export_request(requests.metrics_request(**question), export_format)
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

    def _call(self, method: Any, request: Any) -> Any:
        def once() -> Any:
            return method(request, timeout=self._timeout_seconds, metadata=self._metadata)

        try:
            return self._retried(once)
        except grpc.RpcError as error:
            raise call_error(error) from error

    def _retried(self, call: Callable[[], Any]) -> Any:
        return tenacity.Retrying(**retries(self._retry_seconds))(call)
