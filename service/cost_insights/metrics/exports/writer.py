"""Exports: answers, and costs in full detail, as lines of text in parts of some 64 KiB.

Values stand in a file as they are. What callers named their customers and events may
look like a formula to a spreadsheet, and whoever opens a file in one must tell it that
cells are text: to alter a value would break every program that reads it back.
"""

import asyncio
import csv
import enum
import json
import threading
from collections.abc import (
    AsyncGenerator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import partial

from cost_insights.errors import QueryTooSlowError
from cost_insights.identity import Organization
from cost_insights.metrics.answer import MetricsAnswer, MetricsGroup, MetricsNumbers
from cost_insights.metrics.definitions import Metric
from cost_insights.metrics.exports.cost_rows import CostRowReader
from cost_insights.metrics.exports.focus import COLUMNS, focus_rows
from cost_insights.metrics.question import MetricsQuestion
from cost_insights.metrics.reader import MetricsReader
from cost_insights.metrics.sources.snapshot import Snapshot
from cost_insights.store import Deadline, Store

_PART_CHARS = 64 * 1024

_PART_SECONDS = 1.0
"""How much longer a caller may take for each part: a part a second is the slowest that
is waited for."""


class ExportFormat(enum.Enum):
    """How rows are written."""

    CSV = "csv"
    JSON_LINES = "json_lines"
    FOCUS = "focus"


class MetricsExporter:
    """Answers questions with lines of text."""

    def __init__(
        self, store: Store, reader: MetricsReader, *, query_seconds_max: float, details_max: int
    ) -> None:
        """`details_max` is how many exports may read details at once, each on a connection of
        its own; further ones wait for their turn."""
        self._store = store
        self._reader = reader
        self._query_seconds_max = query_seconds_max
        self._turns = asyncio.Semaphore(details_max)

    def parts(
        self, organization: Organization, question: MetricsQuestion, written: ExportFormat
    ) -> AsyncGenerator[str, None]:
        """The export, some whole lines at a time; all of it from one snapshot.

        Raises QueryTooSlowError where reading what makes a part takes too long, or where
        the caller takes the parts too slowly: meanwhile nobody else has the connection.
        """
        if written is ExportFormat.FOCUS:
            return self._detail_parts(organization, question)
        return self._answer_parts(organization, question, written)

    async def _answer_parts(
        self, organization: Organization, question: MetricsQuestion, written: ExportFormat
    ) -> AsyncGenerator[str, None]:
        answer = await self._reader.answer(organization, question, lambda answer: answer)
        is_grouped = question.group_by is not None
        lines = _json_lines if written is ExportFormat.JSON_LINES else _csv_lines
        parts = _in_parts(lines(answer, is_grouped=is_grouped))
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    async def _detail_parts(
        self, organization: Organization, question: MetricsQuestion
    ) -> AsyncGenerator[str, None]:
        deadline = Deadline(self._query_seconds_max)
        reading = _Reading(
            partial(self._read_details, organization, question, deadline), self._turns
        )
        loop = asyncio.get_running_loop()
        patience = self._query_seconds_max
        await self._turns.acquire()
        try:
            part = await self._store.retrying(asyncio.to_thread, reading.begin)
            while part is not None:
                # A caller that takes no more would keep a connection, and the database
                # the rows of its snapshot, for ever.
                giving_up = loop.call_later(patience, reading.give_up, loop)
                given = loop.time()
                try:
                    yield part
                finally:
                    giving_up.cancel()
                patience += _PART_SECONDS - (loop.time() - given)
                patience = min(patience, self._query_seconds_max)
                if reading.was_given_up:
                    raise QueryTooSlowError(self._query_seconds_max)
                part = await asyncio.to_thread(reading.next)
        except BaseException:
            deadline.cancel()
            raise
        finally:
            await asyncio.to_thread(reading.close)
            reading.end_turn()

    def _read_details(
        self, organization: Organization, question: MetricsQuestion, deadline: Deadline
    ) -> Generator[str, None, None]:
        deadline.renew()
        with self._store.read(deadline) as connection:
            snapshot = Snapshot(self._store, organization, deadline, connection)
            details = CostRowReader(snapshot, question, self._reader.ledgers)
            rows = (row for part in details.parts() for row in focus_rows(organization, part))
            yield from _in_parts(_lines_of_csv(COLUMNS, rows))


class _Reading:
    """A generator that threads advance and close, one at a time, and the turn that it has."""

    def __init__(
        self, read: Callable[[], Generator[str, None, None]], turns: asyncio.Semaphore
    ) -> None:
        self._read = read
        self._parts = read()
        self._turns: asyncio.Semaphore | None = turns
        self._lock = threading.Lock()
        self.was_given_up = False

    def begin(self) -> str | None:
        """The first part; once it has failed, that of another generator."""
        with self._lock:
            self._parts = self._read()
            return next(self._parts, None)

    def next(self) -> str | None:
        with self._lock:
            return next(self._parts, None)

    def close(self) -> None:
        with self._lock:
            self._parts.close()

    def give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self.was_given_up = True
        loop.run_in_executor(None, self.close).add_done_callback(lambda _: self.end_turn())

    def end_turn(self) -> None:
        if self._turns is not None:
            self._turns.release()
            self._turns = None


def _in_parts(lines: Iterable[str]) -> Iterator[str]:
    """The lines, some together."""
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


def _csv_lines(answer: MetricsAnswer, *, is_grouped: bool) -> Iterator[str]:
    group_columns = ("Group", "Others") if is_grouped else ()
    header = ("Timestamp", *group_columns, *(metric.display_name for metric in answer.metrics))
    return _lines_of_csv(header, _csv_rows(answer, is_grouped=is_grouped))


def _csv_rows(answer: MetricsAnswer, *, is_grouped: bool) -> Iterator[Sequence[object]]:
    for start, group, values in _periods(answer, is_grouped=is_grouped):
        cells = [values.get(metric.slug) for metric in answer.metrics]
        if group is None:
            yield (start, *cells)
        else:
            yield (start, group.value, "true" if group.others else "false", *cells)


def _json_lines(answer: MetricsAnswer, *, is_grouped: bool) -> Iterator[str]:
    for start, group, values in _periods(answer, is_grouped=is_grouped):
        of_group = {} if group is None else {"group": group.value, "others": group.others}
        line = {"timestamp": start, **of_group, **values}
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _periods(
    answer: MetricsAnswer, *, is_grouped: bool
) -> Iterator[tuple[str, MetricsGroup | None, Mapping[str, object]]]:
    """(start, group, values by slug) of each period, group by group where there are groups.

    A group has no value of a metric that is of revenue alone, where it is of events.
    """
    numbers: Iterable[tuple[MetricsGroup | None, MetricsNumbers, Sequence[Metric]]]
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
    """Gives back what is written to it."""

    def write(self, text: str) -> str:
        return text
