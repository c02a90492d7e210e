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
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cost_insights._native import format_amount
from cost_insights.errors import QueryTooSlowError
from cost_insights.identity import Organization
from cost_insights.metrics.answer import MetricsAnswer
from cost_insights.metrics.details import DetailReader
from cost_insights.metrics.focus import COLUMNS, focus_rows
from cost_insights.metrics.query import MetricsReader
from cost_insights.metrics.question import MetricsQuestion
from cost_insights.metrics.slugs import Metric, MetricType
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

    async def parts(
        self, organization: Organization, asked: MetricsQuestion, written: ExportFormat
    ) -> AsyncIterator[str]:
        """The export, some whole lines at a time; all of it from one snapshot.

        Raises QueryTooSlowError where reading what makes a part takes too long, or where
        the caller takes the parts too slowly: meanwhile nobody else has the connection.
        """
        if written is ExportFormat.FOCUS:
            parts = self._detail_parts(organization, asked)
        else:
            parts = self._answer_parts(organization, asked, written)
        async for part in parts:
            yield part

    async def _answer_parts(
        self, organization: Organization, asked: MetricsQuestion, written: ExportFormat
    ) -> AsyncIterator[str]:
        answer = await self._reader.answer(organization, asked)
        is_grouped = asked.group_by is not None
        lines = _json_lines if written is ExportFormat.JSON_LINES else _csv_lines
        parts = _in_parts(lines(answer, is_grouped=is_grouped))
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    async def _detail_parts(
        self, organization: Organization, asked: MetricsQuestion
    ) -> AsyncIterator[str]:
        deadline = Deadline(self._query_seconds_max)
        reading = _Reading(self._read_details(organization, asked, deadline), self._turns)
        loop = asyncio.get_running_loop()
        patience = self._query_seconds_max
        await self._turns.acquire()
        try:
            while (part := await asyncio.to_thread(reading.next)) is not None:
                # A caller that takes no more would keep a connection, and the database
                # the rows of its snapshot, for ever.
                giving_up = loop.call_later(patience, reading.give_up, loop)
                given = loop.time()
                yield part
                giving_up.cancel()
                patience += _PART_SECONDS - (loop.time() - given)
                if reading.was_given_up:
                    raise QueryTooSlowError(self._query_seconds_max)
        except BaseException:
            deadline.cancel()
            raise
        finally:
            await asyncio.to_thread(reading.close)
            reading.end_turn()

    def _read_details(
        self, organization: Organization, asked: MetricsQuestion, deadline: Deadline
    ) -> Generator[str, None, None]:
        deadline.renew()
        with self._store.read(deadline) as connection:
            details = DetailReader(
                connection, organization.number, asked, self._store.packed_cache, deadline
            )
            rows = (row for part in details.parts() for row in focus_rows(organization, part))
            yield from _in_parts(_lines_of_csv(COLUMNS, rows))


class _Reading:
    """A generator that threads advance and close, one at a time, and the turn that it has."""

    def __init__(self, parts: Generator[str, None, None], turns: asyncio.Semaphore) -> None:
        self._parts = parts
        self._turns: asyncio.Semaphore | None = turns
        self._lock = threading.Lock()
        self.was_given_up = False

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
    names = (metric.display_name for metric in answer.metrics)
    return _lines_of_csv(("Timestamp", *group_columns, *names), _csv_rows(answer, is_grouped))


def _csv_rows(answer: MetricsAnswer, is_grouped: bool) -> Iterator[Sequence[object]]:
    starts = [start.isoformat() for start in answer.starts]
    if not is_grouped:
        for start, values in zip(starts, answer.periods, strict=True):
            yield (start, *_cells(values, answer.metrics))
    for group in answer.groups:
        others = "true" if group.others else "false"
        for start, values in zip(starts, group.periods, strict=True):
            yield (start, group.value, others, *_cells(values, answer.metrics))


def _cells(values: Mapping[str, int], metrics: Sequence[Metric]) -> Iterator[object]:
    """A value a metric; None where a group has none."""
    for metric in metrics:
        value = values.get(metric.slug)
        is_count = metric.type is MetricType.SCALAR
        yield value if value is None or is_count else format_amount(value)


def _json_lines(answer: MetricsAnswer, *, is_grouped: bool) -> Iterator[str]:
    slugs = [metric.slug for metric in answer.metrics]
    of_group: dict[str, Any]
    for row in _csv_rows(answer, is_grouped):
        if is_grouped:
            start, value, others, *cells = row
            of_group = {"group": value, "others": others == "true"}
        else:
            start, *cells = row
            of_group = {}
        values = {slug: c for slug, c in zip(slugs, cells, strict=True) if c is not None}
        line = {"timestamp": start, **of_group, **values}
        yield json.dumps(line, ensure_ascii=False) + "\n"


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
