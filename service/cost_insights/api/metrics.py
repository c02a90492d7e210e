"""`cost_insights.v1.MetricsService`."""

import contextlib
import dataclasses
import functools
from collections.abc import AsyncGenerator, Mapping, Sequence

from cost_insights._native.answers import encode_periods
from cost_insights.amounts import format_amount
from cost_insights.api.events import event_filter
from cost_insights.api.exporting import Exports
from cost_insights.api.operations import Call
from cost_insights.api.reading import PRODUCT_CHARS_MAX, Checks, decode
from cost_insights.api.work import Work
from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.identity import Caller
from cost_insights.metrics import (
    LIMITS,
    METRICS,
    NUMBERS_MAX,
    SUGGESTED_DATE_MIN,
    Answer,
    ExportFormat,
    GroupBy,
    Interval,
    Metric,
    MetricsQuestion,
    MetricsReader,
    MetricType,
    Numbers,
    checked_question,
)
from cost_insights.store import Deadline
from cost_insights.v1 import metrics_service_pb2, revenue_pb2

_FILTER_VALUES_MAX = 1_000
_ORDER_CHARS_MAX = 128
_METRICS_MAX = 100
_SLUG_CHARS_MAX = 128

_REMEMBERED_BYTES_MAX = 4_096
"""The size up to which a request's question is cached."""

_SERVICE = "/cost_insights.v1.MetricsService"

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

_GROUPINGS: Mapping[int, GroupBy | None] = {
    metrics_service_pb2.GROUP_BY_UNSPECIFIED: None,
    metrics_service_pb2.GROUP_BY_EVENT_NAME: GroupBy.EVENT_NAME,
    metrics_service_pb2.GROUP_BY_LLM_VENDOR: GroupBy.LLM_VENDOR,
    metrics_service_pb2.GROUP_BY_LLM_MODEL: GroupBy.LLM_MODEL,
    metrics_service_pb2.GROUP_BY_CUSTOMER: GroupBy.CUSTOMER,
    metrics_service_pb2.GROUP_BY_PRODUCT: GroupBy.PRODUCT,
}

_BILLING_TYPES: Mapping[int, str] = {
    revenue_pb2.BILLING_TYPE_ONE_TIME: "one_time",
    revenue_pb2.BILLING_TYPE_RECURRING: "recurring",
}

_TYPE_NUMBERS: Mapping[MetricType, metrics_service_pb2.MetricType.ValueType] = {
    MetricType.SCALAR: metrics_service_pb2.METRIC_TYPE_SCALAR,
    MetricType.CURRENCY: metrics_service_pb2.METRIC_TYPE_CURRENCY,
    MetricType.CURRENCY_SUB_CENT: metrics_service_pb2.METRIC_TYPE_CURRENCY_SUB_CENT,
    MetricType.PERCENTAGE: metrics_service_pb2.METRIC_TYPE_PERCENTAGE,
}


_DESCRIBED: Mapping[str, metrics_service_pb2.Metric] = {
    slug: metrics_service_pb2.Metric(
        slug=slug, display_name=metric.display_name, type=_TYPE_NUMBERS[metric.type]
    )
    for slug, metric in METRICS.items()
}
"""The description of each metric in an answer, by slug."""

_PERIOD_FIELDS = metrics_service_pb2.MetricsPeriod.DESCRIPTOR.fields_by_name

_EXPORT_FORMATS: Mapping[int, ExportFormat] = {
    metrics_service_pb2.EXPORT_FORMAT_UNSPECIFIED: ExportFormat.CSV,
    metrics_service_pb2.EXPORT_FORMAT_CSV: ExportFormat.CSV,
    metrics_service_pb2.EXPORT_FORMAT_JSON_LINES: ExportFormat.JSON_LINES,
    metrics_service_pb2.EXPORT_FORMAT_FOCUS: ExportFormat.FOCUS,
}


def metrics_calls(reader: MetricsReader, exports: Exports, work: Work) -> Mapping[str, Call]:
    """The calls of the service by their paths."""

    async def get_metrics(caller: Caller, request: bytes) -> metrics_service_pb2.GetMetricsResponse:
        is_short = len(request) <= _REMEMBERED_BYTES_MAX
        question = _remembered_question(request) if is_short else _read_question(request)

        def answer(deadline: Deadline) -> metrics_service_pb2.GetMetricsResponse:
            # Encoded in the same thread: a thousand groups of a year's days take a while.
            return _response(
                reader.answer(caller.organization, question, deadline, numbers_max=NUMBERS_MAX)
            )

        return await work.answer(caller.organization, answer)

    async def export_metrics(
        caller: Caller, request: metrics_service_pb2.ExportMetricsRequest
    ) -> AsyncGenerator[metrics_service_pb2.ExportMetricsResponse, None]:
        written, question = _export(request)
        async with contextlib.aclosing(
            exports.parts(caller.organization, question, written, totals=request.totals)
        ) as parts:
            async for part in parts:
                yield metrics_service_pb2.ExportMetricsResponse(rows=part)

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

    return {
        f"{_SERVICE}/GetMetrics": get_metrics,
        f"{_SERVICE}/ExportMetrics": export_metrics,
        f"{_SERVICE}/GetMetricsLimits": get_metrics_limits,
    }


def _read_question(request: bytes) -> MetricsQuestion:
    return _question(decode(metrics_service_pb2.GetMetricsRequest, request))


# A page that is reloaded again and again asks the same questions.
_remembered_question = functools.lru_cache(maxsize=256)(_read_question)


def _question(request: metrics_service_pb2.GetMetricsRequest) -> MetricsQuestion:
    checks = Checks()
    events = event_filter(checks, request, values_max=_FILTER_VALUES_MAX)
    slugs = checks.texts(
        "metrics", request.metrics, values_max=_METRICS_MAX, chars_max=_SLUG_CHARS_MAX
    )
    interval = _interval(checks, request.interval)
    group_by = _group_by(checks, request.group_by)
    products = checks.texts(
        "product_ids",
        request.product_ids,
        values_max=_FILTER_VALUES_MAX,
        chars_max=PRODUCT_CHARS_MAX,
    )
    billing_types = _billing_types(checks, request.billing_types)
    checks.text("order_by", request.order_by, chars_max=_ORDER_CHARS_MAX)
    checks.finish()
    return checked_question(
        start_date=request.start_date,
        end_date=request.end_date,
        timezone=request.timezone,
        interval=interval,
        metrics=slugs,
        events=events,
        products=products,
        billing_types=billing_types,
        group_by=group_by,
        groups_max=request.groups_max,
        order_by=request.order_by,
    )


def _export(
    request: metrics_service_pb2.ExportMetricsRequest,
) -> tuple[ExportFormat, MetricsQuestion]:
    checks = Checks()
    checks.required("metrics", request.HasField("metrics"))
    written = _export_format(checks, request.format)
    if written is ExportFormat.FOCUS:
        _check_details(checks, request.metrics)
    if request.totals:
        _check_totals(checks, request)
    checks.finish()
    try:
        return written, _question(request.metrics)
    except InvalidRequestError as error:
        raise InvalidRequestError(
            [dataclasses.replace(fault, path=f"metrics.{fault.path}") for fault in error.faults]
        ) from None


def _export_format(checks: Checks, number: int) -> ExportFormat:
    if number not in _EXPORT_FORMATS:
        checks.unknown_number(
            "format", number, "not an export format", metrics_service_pb2.ExportFormat.DESCRIPTOR
        )
    return _EXPORT_FORMATS.get(number, ExportFormat.CSV)


def _check_details(checks: Checks, request: metrics_service_pb2.GetMetricsRequest) -> None:
    """Refuses fields that rows of FOCUS do not use: a caller who sets one expects other rows."""
    for field in ("interval", "metrics", "group_by", "groups_max", "order_by"):
        if value := getattr(request, field):
            checks.faults.append(
                FieldFault(
                    f"metrics.{field}",
                    "FIELDS_CONFLICT",
                    f"rows of FOCUS have no {field}; it must be left out",
                    str(value)[:64],
                    {"other": "format"},
                )
            )


def _check_totals(checks: Checks, request: metrics_service_pb2.ExportMetricsRequest) -> None:
    """Refuses totals of no groups or of some: every group has a row."""
    checks.required("metrics.group_by", request.metrics.group_by)
    for path, value, other, words in (
        (
            "metrics.groups_max",
            request.metrics.groups_max,
            "totals",
            "totals are those of every group; groups_max must be left out",
        ),
        (
            "totals",
            request.format == metrics_service_pb2.EXPORT_FORMAT_FOCUS,
            "format",
            "rows of FOCUS have no totals; it must be left out",
        ),
    ):
        if value:
            facts = {"other": other}
            checks.faults.append(
                FieldFault(path, "FIELDS_CONFLICT", words, str(value).lower(), facts)
            )


def _interval(checks: Checks, number: int) -> Interval:
    if number not in _INTERVALS:
        checks.unknown_number(
            "interval", number, "not an interval", metrics_service_pb2.Interval.DESCRIPTOR
        )
    return _INTERVALS.get(number, Interval.DAY)


def _group_by(checks: Checks, number: int) -> GroupBy | None:
    if number not in _GROUPINGS:
        checks.unknown_number(
            "group_by", number, "not a grouping", metrics_service_pb2.GroupBy.DESCRIPTOR
        )
    return _GROUPINGS.get(number)


def _billing_types(checks: Checks, numbers: Sequence[int]) -> Sequence[str]:
    values = checks.values("billing_types", numbers, values_max=_FILTER_VALUES_MAX)
    for place, number in enumerate(values):
        if number not in _BILLING_TYPES:
            checks.unknown_number(
                f"billing_types[{place}]",
                number,
                "not a billing type",
                revenue_pb2.BillingType.DESCRIPTOR,
            )
    return [_BILLING_TYPES[number] for number in values if number in _BILLING_TYPES]


def _response(answer: Answer) -> metrics_service_pb2.GetMetricsResponse:
    response = metrics_service_pb2.GetMetricsResponse()
    response.metrics.extend(_DESCRIBED[metric.slug] for metric in answer.metrics)
    _add_numbers(response, answer.starts, answer.numbers, answer.metrics)
    for group in answer.groups:
        added = response.groups.add(
            value=group.value,
            customer_id="" if group.customer_id is None else str(group.customer_id),
            others=group.others,
            members=group.members,
        )
        _add_numbers(added, answer.starts, group.numbers, answer.group_metrics)
    if answer.unattributed is not None:
        response.unattributed.costs = format_amount(answer.unattributed.costs)
        response.unattributed.share = format_amount(answer.unattributed.share)
    return response


def _add_numbers(
    message: metrics_service_pb2.GetMetricsResponse | metrics_service_pb2.MetricsGroup,
    starts: Sequence[str],
    numbers: Numbers,
    metrics: Sequence[Metric],
) -> None:
    columns = [
        (
            _PERIOD_FIELDS[metric.slug].number,
            not metric.is_count,
            numbers.columns[metric.slug],
        )
        for metric in metrics
    ]
    periods = message.DESCRIPTOR.fields_by_name["periods"].number
    message.MergeFromString(encode_periods(periods, starts, columns))
    totals = message.totals
    totals.SetInParent()
    for metric in metrics:
        setattr(totals, metric.slug, numbers.total_written(metric))
