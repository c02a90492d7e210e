"""`cost_insights.v1.MetricsService`."""

from collections.abc import Mapping, Sequence
from typing import Any

from cost_insights import _native
from cost_insights.doors.grpc.calls import AnyCall
from cost_insights.doors.grpc.checks import Checks
from cost_insights.doors.grpc.event_service import event_filter
from cost_insights.errors import FieldFault
from cost_insights.identity import Caller
from cost_insights.metrics import (
    LIMITS,
    SUGGESTED_DATE_MIN,
    Interval,
    Metric,
    MetricsReader,
    MetricType,
    question,
)
from cost_insights.v1 import metrics_service_pb2

_FILTER_VALUES_MAX = 1_000
_METRICS_MAX = 100
_SLUG_CHARS_MAX = 128

SERVICE = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"]

_INTERVALS: Mapping[int, Interval] = {
    metrics_service_pb2.INTERVAL_UNSPECIFIED: Interval.DAY,
    metrics_service_pb2.INTERVAL_HOUR: Interval.HOUR,
    metrics_service_pb2.INTERVAL_DAY: Interval.DAY,
    metrics_service_pb2.INTERVAL_WEEK: Interval.WEEK,
    metrics_service_pb2.INTERVAL_MONTH: Interval.MONTH,
    metrics_service_pb2.INTERVAL_YEAR: Interval.YEAR,
}

_INTERVAL_NUMBERS: Mapping[Interval, metrics_service_pb2.Interval.ValueType] = {
    Interval.HOUR: metrics_service_pb2.INTERVAL_HOUR,
    Interval.DAY: metrics_service_pb2.INTERVAL_DAY,
    Interval.WEEK: metrics_service_pb2.INTERVAL_WEEK,
    Interval.MONTH: metrics_service_pb2.INTERVAL_MONTH,
    Interval.YEAR: metrics_service_pb2.INTERVAL_YEAR,
}

_TYPE_NUMBERS: Mapping[MetricType, metrics_service_pb2.MetricType.ValueType] = {
    MetricType.SCALAR: metrics_service_pb2.METRIC_TYPE_SCALAR,
    MetricType.CURRENCY: metrics_service_pb2.METRIC_TYPE_CURRENCY,
    MetricType.CURRENCY_SUB_CENT: metrics_service_pb2.METRIC_TYPE_CURRENCY_SUB_CENT,
    MetricType.PERCENTAGE: metrics_service_pb2.METRIC_TYPE_PERCENTAGE,
}


def metrics_calls(reader: MetricsReader) -> Mapping[str, AnyCall]:
    """The calls of the service by the names of their methods."""

    async def get_metrics(
        caller: Caller, request: metrics_service_pb2.GetMetricsRequest
    ) -> metrics_service_pb2.GetMetricsResponse:
        checks = Checks()
        events = event_filter(checks, request, values_max=_FILTER_VALUES_MAX)
        slugs = checks.texts(
            "metrics", request.metrics, values_max=_METRICS_MAX, chars_max=_SLUG_CHARS_MAX
        )
        interval = _interval(checks, request.interval)
        checks.finish()
        answer = await reader.answer(
            caller.organization,
            question(
                start_date=request.start_date,
                end_date=request.end_date,
                timezone=request.timezone,
                interval=interval,
                metrics=slugs,
                events=events,
            ),
        )
        return metrics_service_pb2.GetMetricsResponse(
            periods=[
                metrics_service_pb2.MetricsPeriod(
                    timestamp=start.isoformat(), **_wire_values(values, answer.metrics)
                )
                for start, values in zip(answer.starts, answer.periods, strict=True)
            ],
            totals=metrics_service_pb2.MetricsTotals(**_wire_values(answer.totals, answer.metrics)),
            metrics=[
                metrics_service_pb2.Metric(
                    slug=metric.slug,
                    display_name=metric.display_name,
                    type=_TYPE_NUMBERS[metric.type],
                )
                for metric in answer.metrics
            ],
        )

    async def get_metrics_limits(
        caller: Caller, request: metrics_service_pb2.GetMetricsLimitsRequest
    ) -> metrics_service_pb2.GetMetricsLimitsResponse:
        del caller, request  # the limits are the same for everybody
        return metrics_service_pb2.GetMetricsLimitsResponse(
            min_date=SUGGESTED_DATE_MIN.isoformat(),
            intervals=[
                metrics_service_pb2.IntervalLimits(
                    interval=_INTERVAL_NUMBERS[interval],
                    min_days=limits.days_min,
                    max_days=limits.days_max,
                )
                for interval, limits in LIMITS.items()
            ],
        )

    return {"GetMetrics": get_metrics, "GetMetricsLimits": get_metrics_limits}


def _interval(checks: Checks, number: int) -> Interval:
    if number not in _INTERVALS:
        allowed = ", ".join(metrics_service_pb2.Interval.keys()[1:])
        checks.faults.append(
            FieldFault(
                "interval",
                "VALUE_UNKNOWN",
                f"{number} is no interval; allowed are {allowed}",
                str(number),
                {"allowed": allowed},
            )
        )
        return Interval.DAY
    return _INTERVALS[number]


def _wire_values(values: Mapping[str, int], metrics: Sequence[Metric]) -> dict[str, Any]:
    return {
        metric.slug: values[metric.slug]
        if metric.type is MetricType.SCALAR
        else _native.format_amount(values[metric.slug])
        for metric in metrics
    }
