"""Traces, metrics and logs by OTLP, as the standard variables of OpenTelemetry say.

It is loaded only where they ask for it, and needs the extra `otel`. The metrics are those that
Prometheus reads; each process sends its own.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import export as metrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cost_insights.logs.output import JsonLines
from cost_insights.telemetry.instruments import Combination, Instrument, InstrumentKind
from cost_insights.telemetry.spans import Facts, Span, current_span
from cost_insights.telemetry.variables import sends

_NAME: Final = "cost-insights"

_STOP_SECONDS: Final = 1.5
"""The time that the last of everything may take to be sent when the process stops."""

_TRACE_HEADERS: Final = ("traceparent", "tracestate")

_SEVERITIES: Final = (
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (0, SeverityNumber.DEBUG),
)


class Otlp:
    """What a process sends to a collector."""

    def __init__(
        self,
        definitions: Sequence[Instrument],
        values: Callable[[], Sequence[float]],
        *,
        release: str,
    ) -> None:
        """`values` are the numbers of the instruments in this process."""
        resource = _resource(release)
        self._stopping: list[Callable[[], object]] = []
        self.tracer: OtlpTracer | None = None
        self._logs: _LogHandler | None = None
        if sends("TRACES"):
            spans = TracerProvider(resource=resource, shutdown_on_exit=False)
            spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self.tracer = OtlpTracer(spans.get_tracer(_NAME, release))
            self._stopping.append(spans.shutdown)
        if sends("METRICS"):
            sender = _MetricSender(resource, release, definitions, values)
            self._stopping.append(sender.stop)
        if sends("LOGS"):
            lines = LoggerProvider(resource=resource, shutdown_on_exit=False)
            lines.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
            self._logs = _LogHandler(lines)
            logging.getLogger().addHandler(self._logs)
            self._stopping.append(lines.shutdown)

    def stop(self) -> None:
        """Sends what is left, for a short time: the collector may be away."""
        if self._logs is not None:
            logging.getLogger().removeHandler(self._logs)
        threads = [threading.Thread(target=one, daemon=True) for one in self._stopping]
        for thread in threads:
            thread.start()
        until = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _resource(release: str) -> Resource:
    own: dict[str, str] = {
        "service.version": release,
        "service.instance.id": str(uuid.uuid4()),
    }
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name=" not in given:
        own["service.name"] = _NAME
    return Resource.create(own)


class OtlpTracer:
    """Begins the spans of calls."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, header: Callable[[str], str | None]) -> Span:
        """Begins the span of a call, which continues the trace that its headers name."""
        given = {key: value for key in _TRACE_HEADERS if (value := header(key)) is not None}
        context = self._propagator.extract(given, Context()) if given else Context()
        span = self._tracer.start_span(name, context, kind=trace.SpanKind.SERVER)
        return _OtlpSpan(self._tracer, span)


class _OtlpSpan:
    """A span of OpenTelemetry."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def child(self, name: str, facts: Facts, callers: Sequence[Span] = ()) -> Span:
        context = trace.set_span_in_context(self._span, Context())
        span = self._tracer.start_span(
            name,
            context,
            attributes=dict(facts),
            links=[
                trace.Link(one._span.get_span_context())
                for one in callers
                if isinstance(one, _OtlpSpan)
            ],
        )
        return _OtlpSpan(self._tracer, span)

    def end(self, facts: Facts, *, error: str | None = None) -> None:
        for name, value in facts.items():
            self._span.set_attribute(name, value)
        if error is not None:
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, error))
        self._span.end()

    @property
    def context(self) -> Context:
        """The context in which the span is the current one."""
        return trace.set_span_in_context(self._span, Context())


class _MetricSender:
    """Sends the numbers of this process every so often."""

    def __init__(
        self,
        resource: Resource,
        release: str,
        definitions: Sequence[Instrument],
        values: Callable[[], Sequence[float]],
    ) -> None:
        self._resource = resource
        self._scope = InstrumentationScope(_NAME, release)
        self._definitions = definitions
        self._values = values
        # A process that takes over a row of numbers has not counted them itself.
        self._first = list(values())
        self._started_ns = time.time_ns()
        self._exporter = OTLPMetricExporter()
        self._seconds = int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")) / 1_000
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sends the numbers once more."""
        self._ended.set()
        self._thread.join()
        self._exporter.shutdown()

    def _run(self) -> None:
        while True:
            ended = self._ended.wait(self._seconds)
            self._exporter.export(self._data())
            if ended:
                return

    def _data(self) -> metrics.MetricsData:
        now_ns = time.time_ns()
        values = self._values()
        found = [
            metrics.Metric(one.name, one.help, _unit(one.unit), self._points(one, values, now_ns))
            for one in self._definitions
        ]
        scope = metrics.ScopeMetrics(self._scope, found, "")
        return metrics.MetricsData([metrics.ResourceMetrics(self._resource, [scope], "")])

    def _points(self, one: Instrument, values: Sequence[float], now_ns: int) -> metrics.DataT:
        if one.kind is InstrumentKind.HISTOGRAM:
            return metrics.Histogram(
                [
                    point
                    for labels, place in one.places.items()
                    if (point := self._buckets(one, labels, place, values, now_ns)) is not None
                ],
                metrics.AggregationTemporality.CUMULATIVE,
            )
        is_counter = one.kind is InstrumentKind.COUNTER
        points = [
            metrics.NumberDataPoint(
                dict(zip(one.label_names, labels, strict=True)), self._started_ns, now_ns, value
            )
            for labels, place in one.places.items()
            if (value := values[place] - (self._first[place] if is_counter else 0))
            or one.shows_zeros
        ]
        if is_counter or one.combination is Combination.SUM:
            return metrics.Sum(points, metrics.AggregationTemporality.CUMULATIVE, is_counter)
        return metrics.Gauge(points)

    def _buckets(
        self,
        one: Instrument,
        labels: Sequence[str],
        place: int,
        values: Sequence[float],
        now_ns: int,
    ) -> metrics.HistogramDataPoint | None:
        size = len(one.bounds) + 2
        total, *counts = (
            values[number] - self._first[number] for number in range(place, place + size)
        )
        count = int(sum(counts))
        if not count and not one.shows_zeros:
            return None
        return metrics.HistogramDataPoint(
            dict(zip(one.label_names, labels, strict=True)),
            self._started_ns,
            now_ns,
            count,
            total,
            [int(each) for each in counts],
            one.bounds,
            # The least and the greatest value are not kept.
            float("nan"),
            float("nan"),
        )


def _unit(unit: str) -> str:
    """The unit as UCUM writes it."""
    return {"seconds": "s", "bytes": "By", "1": "1"}.get(unit, f"{{{unit}}}")


class _LogHandler(logging.Handler):
    """Sends the lines of the log."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider
        self._lines = JsonLines()

    def handle(self, record: logging.LogRecord) -> bool:
        """Takes a record; any thread may call it."""
        # What the exporter itself has to say would never end.
        if record.name.startswith(("opentelemetry", "grpc")):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Gives a line to the thread that sends it."""
        attributes: Mapping[str, object] = self._lines.fields(record)
        time_ns = int(record.created * 1e9)
        span = current_span()
        self._provider.get_logger(record.name).emit(
            LogRecord(
                timestamp=time_ns,
                observed_timestamp=time_ns,
                context=span.context if isinstance(span, _OtlpSpan) else None,
                severity_text=record.levelname,
                severity_number=next(
                    number for level, number in _SEVERITIES if record.levelno >= level
                ),
                body=str(attributes["message"]),
                attributes={
                    name: value
                    for name, value in attributes.items()
                    if name not in {"message", "time", "level", "logger"}
                    and isinstance(value, str | int | float)
                },
            )
        )
