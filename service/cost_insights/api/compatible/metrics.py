"""Metrics of the compatible API."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

from cost_insights.api.compatible.documents import written
from cost_insights.api.compatible.endpoints import (
    CompatibleAnswer,
    CompatibleCall,
    CompatibleRequest,
)
from cost_insights.api.compatible.reading import Query, in_query
from cost_insights.api.work import Work
from cost_insights.identity import Caller
from cost_insights.metrics import (
    LIMITS,
    METRICS,
    SUGGESTED_DATE_MIN,
    Answer,
    Interval,
    Metric,
    MetricsQuestion,
    MetricsReader,
    checked_question,
)
from cost_insights.store import Deadline

_BILLING_TYPES = ("one_time", "recurring")
_FILE = "cost-insights-metrics.csv"

_OWN_SLUGS = frozenset(
    {
        "events",
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "total_tokens",
        "cost_per_1000_tokens",
        "cached_share",
    }
)
"""The metrics that Polar does not have."""

_SLUGS = tuple(slug for slug in METRICS if slug not in _OWN_SLUGS)


def metrics_calls(reader: MetricsReader, work: Work) -> Mapping[str, CompatibleCall]:
    """The calls of metrics."""

    async def get(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        question = _question(caller, request)

        def answer(deadline: Deadline) -> str:
            # Encoded in the same thread, because all metrics of a year by day take a while.
            return _document(reader.answer(caller.organization, question, deadline))

        return CompatibleAnswer(await work.answer(caller.organization, answer))

    async def limits(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        del caller, request  # the limits are the same for everybody
        return CompatibleAnswer(_LIMITS_DOCUMENT)

    async def export(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        question = _question(caller, request)

        def answer(deadline: Deadline) -> str:
            return _csv(reader.answer(caller.organization, question, deadline))

        return CompatibleAnswer(
            await work.answer(caller.organization, answer),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{_FILE}"'},
        )

    return {"metrics.get": get, "metrics.limits": limits, "metrics.export": export}


_LIMITS_DOCUMENT = written(
    {
        "min_date": SUGGESTED_DATE_MIN.isoformat(),
        "intervals": {
            interval.value: {"min_days": limits.days_min, "max_days": limits.days_max}
            for interval, limits in LIMITS.items()
        },
    }
)


def _question(caller: Caller, request: CompatibleRequest) -> MetricsQuestion:
    query = Query(request.query)
    query.check_organization(caller.organization)
    start_date, end_date = query.required("start_date"), query.required("end_date")
    interval = query.one_of("interval", [one.value for one in Interval], "")
    events = query.customers()
    products = query.texts("product_id")
    billing_types = query.some_of("billing_type", _BILLING_TYPES)
    slugs = query.texts("metrics")
    timezone = query.text("timezone", "UTC")
    query.finish()
    with in_query():
        return checked_question(
            start_date=start_date,
            end_date=end_date,
            timezone=timezone,
            interval=Interval(interval),
            # All are answered by default: old SDKs never choose, and require most of them.
            metrics=slugs or _SLUGS,
            events=events,
            products=products,
            billing_types=billing_types,
            group_by=None,
            groups_max=0,
        )


def _document(answer: Answer) -> str:
    """The answer as JSON with exact numbers, which are written from integers digit by digit."""
    # Slugs have no character that JSON would escape.
    rows = ",".join(
        f'{{"timestamp":"{start.replace("+00:00", "Z")}",{fields}}}'
        for start, fields in zip(answer.starts, _periods(answer), strict=True)
    )
    totals = ",".join(
        f'"{metric.slug}":{answer.numbers.total_written(metric)}' for metric in answer.metrics
    )
    metrics = ",".join(f'"{metric.slug}":{_described(metric)}' for metric in answer.metrics)
    return f'{{"periods":[{rows}],"totals":{{{totals}}},"metrics":{{{metrics}}}}}'


def _periods(answer: Answer) -> Iterator[str]:
    columns = [
        [f'"{metric.slug}":{number}' for number in answer.numbers.written(metric)]
        for metric in answer.metrics
    ]
    return (",".join(fields) for fields in zip(*columns, strict=True))


def _described(metric: Metric) -> str:
    return json.dumps(
        {"slug": metric.slug, "display_name": metric.display_name, "type": metric.type.value},
        separators=(",", ":"),
    )


def _csv(answer: Answer) -> str:
    """One row per period, in the dialect of spreadsheets."""
    columns: Sequence[Sequence[int | str]] = [
        answer.numbers.written(metric) for metric in answer.metrics
    ]
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["Timestamp", *(metric.display_name for metric in answer.metrics)])
    for start, *numbers in zip(answer.starts, *columns, strict=True):
        rows.writerow([start, *numbers])
    return file.getvalue()
