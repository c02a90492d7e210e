"""The rows of the table about all metrics: of events, orders and subscriptions."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cost_insights.cells import CellCache
from cost_insights.customers import CustomerCache
from cost_insights.identity import list_organizations
from cost_insights.metrics.sources.ledger_cache import LedgerCache
from cost_insights.metrics.sources.snapshot import Caches, Snapshot
from cost_insights.store import Deadline, Store
from cost_insights.v1.metrics_service_pb2 import GetMetricsResponse
from tests.benchmarks import replay
from tests.benchmarks.metrics.questions import ALL_METRICS, Question, check_answer, questions
from tests.benchmarks.metrics.recorded import Recorded
from tests.benchmarks.metrics.revenue_data_set import PLANS
from tests.benchmarks.metrics.revenue_facts import best_customers, check_revenue, facts_of
from tests.benchmarks.metrics.rows import (
    CALL_SECONDS_MAX,
    GROUPS_MAX,
    Caller,
    Latencies,
    check_same,
    measure,
    named,
    serving,
)
from tests.benchmarks.results import AnswerRow, Results, check_equal, rate

PROCESSES = 3
"""The number of processes that are started to time the first answer."""


def revenue(recorded: Recorded, results: Results, *, seconds: float) -> None:
    """All metrics of everything, of one product, of one customer, and of the best customers."""
    month, _, year, _ = (
        replace(one, what=f"all metrics, {one.what}", metrics=ALL_METRICS)
        for one, *_ in questions(recorded.stored.data_set.end_us)
    )
    results.answers.append(_first_answers(recorded, year))
    with serving(recorded.stored) as asked:
        for question, p50_ms_max in ((year, 50), (month, 25)):
            found = _answers(asked, question, recorded, seconds=seconds)
            results.answers.append(found.row(_named(question, recorded), p50_ms_max=p50_ms_max))
        for question in (*_narrowed(year), *_narrowed(month)):
            found = _answers(asked, question, recorded, seconds=seconds)
            results.answers.append(found.row(_named(question, recorded)))
        results.notes += _notes(recorded)
        results.answers.append(_best(asked, month, recorded, seconds=seconds))


def _narrowed(question: Question) -> Iterator[Question]:
    """The question narrowed to one product, and to one customer."""
    yield replace(question, what=f"{question.what}, one product", product=PLANS[0])
    yield replace(question, what=f"{question.what}, one customer (the biggest)", customer=0)


def _first_answers(recorded: Recorded, question: Question) -> AnswerRow:
    """By new processes, that have read nothing yet."""
    found = []
    for _ in range(PROCESSES):
        with serving(recorded.stored) as asked:
            asked.connect()
            start = time.perf_counter()
            answer = asked.call(question.request())()
            found.append((time.perf_counter() - start) * 1e3)
            _check(question, recorded, answer)
    what = replace(question, what=f"{question.what}, the first answer of a process")
    return Latencies(sorted(found)).row(_named(what, recorded))


def _answers(asked: Caller, question: Question, recorded: Recorded, *, seconds: float) -> Latencies:
    """Asks for a time, warm, and checks that every answer is right."""
    call = asked.call(question.request())
    right = call()
    _check(question, recorded, right)
    return measure(call, lambda answer: check_same(question, answer, right), seconds=seconds)


def _best(asked: Caller, month: Question, recorded: Recorded, *, seconds: float) -> AnswerRow:
    """The customers of a month who are worth most."""
    question = replace(month, what=f"{month.what}, by customer, the top {GROUPS_MAX} by margin")
    call = asked.call(
        question.request(
            group_by="GROUP_BY_CUSTOMER", groups_max=GROUPS_MAX, order_by="gross_margin desc"
        )
    )
    right: Any = call()
    _check(question, recorded, right)
    best = best_customers(recorded.revenue, recorded.stored.columns, question, GROUPS_MAX)
    for group, expected in zip(right.groups, best, strict=True):
        check_equal(question.what, (group.value, group.totals.gross_margin), expected)
    found = measure(call, lambda answer: check_same(question, answer, right), seconds=seconds)
    return found.row(_named(question, recorded))


def _check(question: Question, recorded: Recorded, answer: GetMetricsResponse) -> None:
    check_answer(question, recorded.stored.facts(question), answer)
    check_revenue(question, facts_of(recorded.revenue, question), answer)


def _named(question: Question, recorded: Recorded) -> str:
    orders = recorded.revenue.orders_count
    return f"{named(question.what, recorded.stored)}, {orders / 1e6:g} M orders"


def _notes(recorded: Recorded) -> Iterator[str]:
    orders = recorded.revenue.orders_count
    disk_bytes = replay.Postgresql(recorded.stored.url).table_bytes("ledger_entry")
    yield (
        f"ledger of {orders:,} orders: {_ledger_bytes(recorded) / 2**20:,.0f} MiB of memory in "
        f"each process, {disk_bytes / 2**20:,.0f} MiB on disk with its index"
    )
    if recorded.orders_seconds is not None:
        yield (
            f"recording {orders:,} orders: {recorded.orders_seconds:,.0f} s, "
            f"{rate(orders / recorded.orders_seconds, 'orders')}"
        )


def _ledger_bytes(recorded: Recorded) -> int:
    """The memory that a ledger takes, read as the service reads it."""
    with contextlib.closing(Store(recorded.stored.url)) as store:
        with store.read() as connection:
            (owner,) = list_organizations(connection)
        caches = Caches(CellCache(0), CustomerCache())
        deadline = Deadline(CALL_SECONDS_MAX)
        with Snapshot(
            store, caches, owner, deadline, transaction=True, cells_bytes_max=1 << 30
        ) as snapshot:
            return LedgerCache(0).current(snapshot).bytes
