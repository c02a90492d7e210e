"""Exports: answers, and costs in full detail, as lines of text in parts of some 64 KiB.

Values stand in a file as they are. What callers named their customers and events may
look like a formula to a spreadsheet, and whoever opens a file in one must tell it that
cells are text: to alter a value would break every program that reads it back.
"""

import csv
import enum
import json
from collections.abc import (
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

from cost_insights.identity import Organization
from cost_insights.metrics.answer import Answer, Group, Numbers
from cost_insights.metrics.definitions import Metric
from cost_insights.metrics.exports.cost_rows import CostRowReader
from cost_insights.metrics.exports.focus import COLUMNS, focus_rows
from cost_insights.metrics.question import MetricsQuestion
from cost_insights.metrics.reader import MetricsReader
from cost_insights.store import Deadline, Store

_PART_CHARS = 64 * 1024


class ExportFormat(enum.Enum):
    """The format of rows."""

    CSV = "csv"
    JSON_LINES = "json_lines"
    FOCUS = "focus"


class MetricsExporter:
    """Writes answers, and costs in full detail."""

    def __init__(self, store: Store, reader: MetricsReader) -> None:
        self._store = store
        self._reader = reader

    def answer_parts(
        self,
        organization: Organization,
        question: MetricsQuestion,
        written: ExportFormat,
        deadline: Deadline,
    ) -> Iterator[str]:
        """The answer as CSV or JSON lines; it is read by the call, not by the iterator."""
        answer = self._reader.answer(organization, question, deadline)
        is_grouped = question.group_by is not None
        lines = _json_lines if written is ExportFormat.JSON_LINES else _csv_lines
        return _in_parts(lines(answer, is_grouped=is_grouped))

    def total_parts(
        self,
        organization: Organization,
        question: MetricsQuestion,
        written: ExportFormat,
        deadline: Deadline,
    ) -> Iterator[str]:
        """The totals of every group as CSV or JSON lines; they are read by the call, too."""
        metrics, groups = self._reader.totals(organization, question, deadline)
        rows = (
            (group, {one.slug: group.numbers.total_written(one) for one in metrics})
            for group in groups
        )
        if written is ExportFormat.JSON_LINES:
            return _in_parts(
                _json_line({"group": group.value, "others": group.others, **totals})
                for group, totals in rows
            )
        header = ("Group", "Others", *(metric.display_name for metric in metrics))
        cells = ((group.value, _flag(group.others), *totals.values()) for group, totals in rows)
        return _in_parts(_lines_of_csv(header, cells))

    def cost_row_parts(
        self, organization: Organization, question: MetricsQuestion, deadline: Deadline
    ) -> Generator[str, None, None]:
        """Rows of FOCUS, read from one snapshot while they are taken; the deadline is renewed
        for each part."""
        deadline.renew()
        with self._reader.snapshot(organization, deadline, transaction=True) as snapshot:
            cost_rows = CostRowReader(snapshot, question, self._reader.ledgers)
            rows = (row for part in cost_rows.parts() for row in focus_rows(organization, part))
            yield from _in_parts(_lines_of_csv(COLUMNS, rows))


def _in_parts(lines: Iterable[str]) -> Iterator[str]:
    """The lines, joined to parts."""
    part: list[str] = []
    chars = 0
    for line in lines:
        part.append(line)
        chars += len(line)
        if chars >= _PART_CHARS:
            yield "".join(part)
            part, chars = [], 0
    if part:
        yield "".join(part)


def _csv_lines(answer: Answer, *, is_grouped: bool) -> Iterator[str]:
    group_columns = ("Group", "Others") if is_grouped else ()
    header = ("Timestamp", *group_columns, *(metric.display_name for metric in answer.metrics))
    return _lines_of_csv(header, _csv_rows(answer, is_grouped=is_grouped))


def _csv_rows(answer: Answer, *, is_grouped: bool) -> Iterator[Sequence[object]]:
    for start, group, values in _periods(answer, is_grouped=is_grouped):
        cells = [values.get(metric.slug) for metric in answer.metrics]
        if group is None:
            yield (start, *cells)
        else:
            yield (start, group.value, _flag(group.others), *cells)


def _flag(flag: bool) -> str:
    return "true" if flag else "false"


def _json_lines(answer: Answer, *, is_grouped: bool) -> Iterator[str]:
    for start, group, values in _periods(answer, is_grouped=is_grouped):
        of_group = {} if group is None else {"group": group.value, "others": group.others}
        yield _json_line({"timestamp": start, **of_group, **values})


def _json_line(line: Mapping[str, object]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _periods(
    answer: Answer, *, is_grouped: bool
) -> Iterator[tuple[str, Group | None, Mapping[str, object]]]:
    """(start, group, values by slug) of each period, group by group where there are groups.

    A group has no value of a metric that is of revenue alone, where it is of events.
    """
    numbers: Iterable[tuple[Group | None, Numbers, Sequence[Metric]]]
    if is_grouped:
        numbers = ((group, group.numbers, answer.group_metrics) for group in answer.groups)
    else:
        numbers = [(None, answer.numbers, answer.metrics)]
    for group, of_group, metrics in numbers:
        columns = {metric.slug: of_group.written(metric) for metric in metrics}
        for place, start in enumerate(answer.starts):
            yield start, group, {slug: column[place] for slug, column in columns.items()}


def _lines_of_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a file as spreadsheets write it: they end with CR and LF, and a value is
    quoted where it has to be."""
    writer = csv.writer(_Returning())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow(row)


class _Returning:
    """A file that returns each text written to it."""

    def write(self, text: str) -> str:
        return text
