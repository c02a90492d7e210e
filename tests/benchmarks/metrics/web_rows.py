"""The rows of the HTTP door: answers next to those of gRPC, and the newest events of many."""

import contextlib
import datetime
import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np

from tests.benchmarks.metrics.data_set import CUSTOMERS, customer_name
from tests.benchmarks.metrics.questions import Question, questions
from tests.benchmarks.metrics.rows import caller, measure, named
from tests.benchmarks.metrics.stored import Stored
from tests.benchmarks.processes import service
from tests.benchmarks.results import Results, Row, UnequalError, check_equal
from tests.benchmarks.timing import ratios

LISTED = 100

Query = Mapping[str, str | Sequence[str]]


class WebCaller:
    """Asks a service over one HTTP connection."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def call(self, path: str, query: Query) -> Callable[[], Any]:
        """The call, to be made again and again."""
        target = f"{path}?{urlencode(query, doseq=True)}"

        def call() -> Any:
            self._connection.request("GET", target)
            answer = self._connection.getresponse()
            content = answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{answer.status} {content!r}")
            return content

        return call


@contextlib.contextmanager
def web_caller(address: str) -> Iterator[WebCaller]:
    """A connection to a service."""
    with contextlib.closing(http.client.HTTPConnection(address, timeout=600)) as connection:
        yield WebCaller(connection)


def over_http(stored: Stored, results: Results, *, seconds: float, rounds: int) -> None:
    """A month's days asked over HTTP and over gRPC, in turns."""
    ((question,), *_) = questions(stored.data_set.end_us)
    with (
        service(stored.url) as server,
        caller(server.address) as grpc_caller,
        web_caller(server.http_address) as web,
    ):
        call = web.call("/v1/metrics/", _query(question))
        _check_totals(question, stored, json.loads(call(), parse_float=str))
        right = call()
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds):
            found = measure(call, _is(right), seconds=seconds / rounds)
            ours.append(found.p50)
            theirs.append(grpc_caller.answers(question, stored, seconds=seconds / rounds).p50)
    results.rows.append(
        Row(
            f"{question.what}, over HTTP",
            f"{np.median(ours):.2f} ms",
            f"over gRPC: {np.median(theirs):.2f} ms",
            ratios(theirs, ours),
            1 / 1.5,
        )
    )


def newest_events(stored: Stored, results: Results, *, seconds: float) -> None:
    """The newest hundred events of all, and of some filters."""
    counts = np.bincount(stored.columns.customers, minlength=CUSTOMERS)
    frequent = int(counts.argmax())
    # Few enough that the newest hundred are all of them, spread over the year.
    rare = int(np.abs(counts - LISTED // 2).argmin())
    end = datetime.datetime.fromtimestamp(stored.data_set.end_us / 1e6, datetime.UTC)
    day: Query = {
        "start_timestamp": (end - datetime.timedelta(days=1)).isoformat(),
        "end_timestamp": end.isoformat(),
    }
    asked: Mapping[str, Query] = {
        "unfiltered": {},
        "of the most frequent customer": {"external_customer_id": customer_name(frequent)},
        f"of a customer with {counts[rare]} events": {"external_customer_id": customer_name(rare)},
        "of one name": {"name": "email.sent"},
        "with one value of metadata within a day": {**day, "metadata[units]": "1000"},
    }
    with service(stored.url) as server, web_caller(server.http_address) as web:
        for what, query in asked.items():
            call = web.call("/v1/events/", {"limit": str(LISTED), **query})
            right = call()
            items = json.loads(right)["items"]
            if not items:
                raise UnequalError(f"the newest events {what}: there are none")
            times = [item["timestamp"] for item in items]
            check_equal(
                f"the order of the newest events {what}", times, sorted(times, reverse=True)
            )
            found = measure(call, _is(right), seconds=seconds)
            row = found.row(named(f"the newest {LISTED} events {what}", stored), p50_ms_max=20)
            results.answers.append(row)


def _query(question: Question) -> Query:
    return {
        "start_date": str(question.start),
        "end_date": str(question.end),
        "interval": question.interval,
        "timezone": question.zone,
        "metrics": question.metrics,
    }


def _check_totals(question: Question, stored: Stored, answer: Any) -> None:
    facts = stored.facts(question)
    picocents = sum(facts.costs_picocents)
    whole, rest = divmod(picocents, 10**12)
    expected = f"{whole}.{rest:012}".rstrip("0").rstrip(".")
    check_equal(f"{question.what}, costs over HTTP", str(answer["totals"]["costs"]), expected)


def _is(right: bytes) -> Callable[[Any], None]:
    def check(answer: Any) -> None:
        if answer != right:
            raise UnequalError("an answer over HTTP differs from the first one")

    return check
