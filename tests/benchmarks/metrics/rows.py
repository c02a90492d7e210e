"""The rows of the table: how long answers take, and next to whom."""

import contextlib
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc

from cost_insights.v1.metrics_service_pb2 import (
    GetMetricsLimitsRequest,
    GetMetricsRequest,
    GetMetricsResponse,
)
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub
from tests.benchmarks import replay
from tests.benchmarks.ingest import BATCHES_IN_FLIGHT
from tests.benchmarks.metrics.data_set import REQUEST_EVENTS, DataSet
from tests.benchmarks.metrics.peers import Peer
from tests.benchmarks.metrics.questions import Question, check_answer, questions, top_customers
from tests.benchmarks.metrics.stored import Stored, wait_until_compacted
from tests.benchmarks.processes import LoadGenerator, service
from tests.benchmarks.results import AnswerRow, Results, Row, UnequalError, check_equal, rate
from tests.benchmarks.timing import ratios
from tests.support.databases import Databases

CALLS_MIN = 3
CALL_SECONDS_MAX = 600
INGEST_SECONDS_MAX = 3_600
WARMUP_SECONDS = 1
FULL_SPEED_SECONDS = 5
GROUPS_MAX = 100
ZONES = ("Europe/Berlin", "Asia/Kolkata")

Call = Callable[[], GetMetricsResponse]
Check = Callable[[GetMetricsResponse], None]


@dataclass(frozen=True)
class Latencies:
    """The time of each call, the shortest first."""

    ms: Sequence[float]

    def at(self, share: float) -> float:
        """Within how long that share of them was answered."""
        return self.ms[int(share * (len(self.ms) - 1))]

    @property
    def p50(self) -> float:
        """The median."""
        return self.at(0.5)

    @property
    def p99(self) -> float:
        """The time that one call in a hundred exceeds."""
        return self.at(0.99)

    def row(
        self, what: str, *, p50_ms_max: float | None = None, p99_ms_max: float | None = None
    ) -> AnswerRow:
        """A row of the table."""
        return AnswerRow(what, len(self.ms), self.p50, self.p99, p50_ms_max, p99_ms_max)


class Caller:
    """Asks a service, from a process of its own."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = MetricsServiceStub(channel)

    def call(self, request: GetMetricsRequest) -> Call:
        """The call, to be made again and again."""
        return lambda: self._stub.GetMetrics(request, timeout=CALL_SECONDS_MAX)

    def connect(self) -> None:
        """Asks for something that takes no time."""
        self._stub.GetMetricsLimits(GetMetricsLimitsRequest(), timeout=CALL_SECONDS_MAX)

    def answers(self, question: Question, stored: Stored, *, seconds: float) -> Latencies:
        """Asks for a time, warm, and checks that every answer is right."""
        call = self.call(question.request())
        right = call()
        check_answer(question, stored.facts(question), right)
        return measure(call, lambda answer: check_same(question, answer, right), seconds=seconds)

    def worst(
        self, alike: Sequence[Question], stored: Stored, *, seconds: float
    ) -> tuple[str, Latencies]:
        """The question whose answer takes longest."""
        measured = [
            (question.what, self.answers(question, stored, seconds=seconds)) for question in alike
        ]
        return max(measured, key=lambda one: one[1].p50)


@contextlib.contextmanager
def caller(address: str) -> Iterator[Caller]:
    """A connection to a service."""
    with grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel:
        yield Caller(channel)


@contextlib.contextmanager
def serving(stored: Stored) -> Iterator[Caller]:
    """The service on a database, and a caller of it."""
    with service(stored.url) as server, caller(server.address) as one:
        yield one


def measure(call: Call, check: Check, *, seconds: float) -> Latencies:
    """Calls one after the other; looks at each answer while no clock runs."""
    _call_for(min(WARMUP_SECONDS, seconds), 1, call, check)
    return Latencies(sorted(_call_for(seconds, CALLS_MIN, call, check)))


def _call_for(seconds: float, calls_min: int, call: Call, check: Check) -> list[float]:
    found: list[float] = []
    until = time.perf_counter() + seconds
    while len(found) < calls_min or time.perf_counter() < until:
        start = time.perf_counter()
        answer = call()
        found.append((time.perf_counter() - start) * 1e3)
        check(answer)
    return found


def answers(stored: Stored, results: Results, *, seconds: float, p50_ms_max: float) -> None:
    """Every question, of UTC."""
    with serving(stored) as asked:
        for alike in questions(stored.data_set.end_us):
            what, found = asked.worst(alike, stored, seconds=seconds)
            results.answers.append(found.row(named(what, stored), p50_ms_max=p50_ms_max))


def zones(stored: Stored, results: Results, *, seconds: float) -> None:
    """Every question, of zones whose days are not those of UTC."""
    with serving(stored) as asked:
        for zone in ZONES:
            for alike in questions(stored.data_set.end_us):
                inside = [question.within(zone) for question in alike]
                what, found = asked.worst(inside, stored, seconds=seconds)
                results.answers.append(found.row(named(what, stored)))


def groups(stored: Stored, results: Results, *, seconds: float) -> None:
    """The customers of a month that cost most."""
    ((question,), *_) = questions(stored.data_set.end_us)
    request = question.request(group_by="GROUP_BY_CUSTOMER", groups_max=GROUPS_MAX)
    with serving(stored) as asked:
        call = asked.call(request)
        right: Any = call()
        check_answer(question, stored.facts(question), right)
        check_equal(
            "groups",
            [(group.value, group.totals.costs) for group in right.groups],
            top_customers(stored.columns, question, GROUPS_MAX),
        )
        found = measure(call, lambda one: check_same(question, one, right), seconds=seconds)
    what = f"{question.what}, by customer, the top {GROUPS_MAX}"
    results.answers.append(found.row(named(what, stored), p50_ms_max=100))


def growth(large: Stored, small: Stored, results: Results, *, seconds: float, rounds: int) -> None:
    """Rows about the same questions with fewer events: the speeds with more and with fewer."""
    with serving(large) as ours, serving(small) as theirs:
        for alike in questions(large.data_set.end_us):
            found = [
                [
                    (
                        ours.answers(question, large, seconds=seconds / rounds).p50,
                        theirs.answers(question, small, seconds=seconds / rounds).p50,
                    )
                    for _ in range(rounds)
                ]
                for question in alike
            ]
            results.rows.append(
                _worst_row(alike, found, f"{_millions(small)} events", asked=1 / 1.5)
            )


def beside_peer(
    stored: Stored, peer: Peer, results: Results, *, seconds: float, rounds: int, asked: float
) -> None:
    """Rows about the same questions of the same events asked in another way, in turns."""
    with serving(stored) as ours:
        for alike in questions(stored.data_set.end_us):
            found = [
                _rounds_beside(stored, ours, peer, question, seconds=seconds, rounds=rounds)
                for question in alike
            ]
            results.rows.append(_worst_row(alike, found, peer.name, asked=asked))


def _rounds_beside(
    stored: Stored, ours: Caller, peer: Peer, question: Question, *, seconds: float, rounds: int
) -> list[tuple[float, float]]:
    peer.check(question, stored.facts(question), peer.ask(question))  # warms it too
    found = []
    for _ in range(rounds):
        our_ms = ours.answers(question, stored, seconds=seconds / rounds).p50
        start = time.perf_counter()
        peer.ask(question)
        found.append((our_ms, (time.perf_counter() - start) * 1e3))
    return found


def _worst_row(
    alike: Sequence[Question],
    found: Sequence[Sequence[tuple[float, float]]],
    peer: str,
    *,
    asked: float,
) -> Row:
    """The row of the question where we do worst, from our times and the peer's in each round."""
    rows = []
    for question, pairs in zip(alike, found, strict=True):
        our_times, their_times = zip(*pairs, strict=True)
        rows.append(
            Row(
                question.what,
                f"{statistics.median(our_times):.2f} ms",
                f"{peer}: {statistics.median(their_times):,.2f} ms",
                ratios(their_times, our_times),
                asked,
            )
        )
    return min(rows, key=lambda row: row.ratio)


def beside_ingest(
    databases: Databases, stored: Stored, results: Results, *, seconds: float
) -> None:
    """Every question while events come in half as fast as they could, into a copy."""
    part = next(stored.data_set.parts())
    asked = questions(stored.data_set.end_us)
    with (
        databases.copied(stored.url) as url,
        tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder,
        service(url) as server,
        caller(server.address) as one,
    ):
        generator = LoadGenerator(Path(folder), part, first_key=stored.data_set.events)
        # A service that has just begun asks the database for every customer.
        first, full = (
            generator.send(server.address, in_flight=BATCHES_IN_FLIGHT, seconds=FULL_SPEED_SECONDS)
            for _ in range(2)
        )
        wait_until_compacted(replay.database(url))
        process = generator.start(
            server.address,
            in_flight=BATCHES_IN_FLIGHT,
            seconds=INGEST_SECONDS_MAX,
            requests_per_second=full.events_per_second / REQUEST_EVENTS / 2,
        )
        try:
            for alike in asked:
                what, found = max(
                    (_growing(one, question, seconds=seconds) for question in alike),
                    key=lambda each: each[1].p99,
                )
                name = f"{named(what, stored)}, beside ingest at half speed"
                results.answers.append(found.row(name, p99_ms_max=50))
        finally:
            process.send_signal(signal.SIGINT)
        half = generator.finish(process)
        results.notes.append(
            f"ingest beside the questions: {rate(half.events_per_second, 'events')}, "
            f"of {rate(full.events_per_second, 'events')} at full speed"
        )
        (year,) = asked[2]
        answer = one.call(year.request())()
        loads = (first, full, half)
        expected = stored.costs_picocents + sum(load.cost_picocents for load in loads)
        found_costs = Decimal(answer.totals.cumulative_costs).scaleb(12)
        check_equal("costs after the ingest", int(found_costs), expected)


def _growing(asked: Caller, question: Question, *, seconds: float) -> tuple[str, Latencies]:
    """Asks while events come in; every event costs something, so no answer may be less."""
    costs = [Decimal(0)]

    def check(answer: GetMetricsResponse) -> None:
        costs.append(Decimal(answer.totals.cumulative_costs))
        if costs[-1] < costs[-2]:
            raise UnequalError(f"{question.what}: {costs[-1]} is less than {costs[-2]} before it")

    return question.what, measure(asked.call(question.request()), check, seconds=seconds)


def compaction(databases: Databases, results: Results, data_set: DataSet, *, rounds: int) -> None:
    """Ingest until nothing is pending, next to ingest that leaves everything pending."""
    bodies = data_set.bodies()
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder:
        generator = LoadGenerator(Path(folder), bodies)
        for _ in range(rounds):
            for rates, compact in ((ours, "true"), (theirs, "false")):
                with (
                    databases.fresh("postgresql") as url,
                    service(url, compact=compact) as server,
                ):
                    database = replay.database(url)
                    database.checkpoint()
                    load = generator.send(
                        server.address,
                        in_flight=BATCHES_IN_FLIGHT,
                        requests=len(bodies.requests),
                    )
                    seconds = load.seconds
                    if compact == "true":
                        seconds += wait_until_compacted(database)
                    check_equal(
                        "events stored",
                        database.content(),
                        replay.Content(load.events, load.cost_picocents),
                    )
                    rates.append(load.events / seconds)
    results.rows.append(
        Row(
            f"ingest of {data_set.events / 1e6:g} M events until nothing is pending",
            rate(statistics.median(ours), "events"),
            f"without compaction: {rate(statistics.median(theirs), 'events')}",
            ratios(ours, theirs),
            0.85,
        )
    )


def disk(stored: Stored, results: Results) -> None:
    """The size of the segments next to that of the events: ten times theirs is asked."""
    database = replay.Postgresql(stored.url)
    segments, events = database.table_bytes("segment"), database.table_bytes("event")
    results.rows.append(
        Row(
            f"disk: events with indexes, of {_millions(stored)}, over segments",
            f"{segments / 2**20:,.0f} MiB, {segments / events:.1%}",
            f"{events / 2**20:,.0f} MiB",
            [events / segments],
            10,
        )
    )


def check_same(question: Question, answer: GetMetricsResponse, right: GetMetricsResponse) -> None:
    """Raises UnequalError unless nothing has changed."""
    # Whole messages, for it is done at every call.
    if answer != right:
        raise UnequalError(f"{question.what}: the answer has changed")


def named(what: str, stored: Stored) -> str:
    """With the engine of the database and the number of its events."""
    engine = stored.url.partition(":")[0].partition("+")[0]
    return f"{what}, {engine}, {_millions(stored)}"


def _millions(stored: Stored) -> str:
    return f"{stored.data_set.events / 1e6:g} M"
