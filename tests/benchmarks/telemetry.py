"""The cost of measuring, and of a line of the log for each call."""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc

from tests.benchmarks.bodies import bodies
from tests.benchmarks.ingest import (
    BATCH_BODIES,
    BATCH_EVENTS,
    BATCHES_IN_FLIGHT,
    SINGLES_BODIES,
    SINGLES_IN_FLIGHT,
    generator_of,
)
from tests.benchmarks.processes import ServerProcess, service
from tests.benchmarks.results import Results, Row
from tests.benchmarks.timing import ratios
from tests.support.databases import Databases
from tests.support.service import Caller, lately

_OFF: Mapping[str, Any] = {"admin_address": ""}
_SIDES: Mapping[str, Mapping[str, Any]] = {
    "measured": {},
    "measured, and a line of JSON for each call": {"log_format": "json", "log_level": "info"},
}

Work = Callable[[ServerProcess], int]
"""Makes a server work, and returns the number of requests."""


def what_it_costs(databases: Databases, results: Results, *, seconds: float, rounds: int) -> None:
    """The processor time of each request where it is measured, next to the same where it is not."""
    singles = bodies(requests=SINGLES_BODIES, events_each=1, keyed=True)
    batches = bodies(requests=BATCH_BODIES, events_each=BATCH_EVENTS, keyed=True)
    with generator_of(singles) as one_each, generator_of(batches) as many_each:
        works: Mapping[str, Work] = {
            "1 event a request": lambda server: (
                one_each.send(server.address, in_flight=SINGLES_IN_FLIGHT, seconds=seconds).requests
            ),
            "1 000 events a request": lambda server: (
                many_each.send(
                    server.address, in_flight=BATCHES_IN_FLIGHT, seconds=seconds
                ).requests
            ),
            "a question": lambda server: _ask(server, 500),
        }
        for name, work in works.items():
            for side, settings in _SIDES.items():
                with _serving(databases, _OFF) as off, _serving(databases, settings) as on:
                    for server in (off, on):
                        work(server)
                    costs = [(_cpu_us(off, work), _cpu_us(on, work)) for _ in range(rounds)]
                without, with_it = zip(*costs, strict=True)
                results.rows.append(
                    Row(
                        f"{name}, {side}",
                        f"{statistics.median(with_it):.0f} µs of CPU",
                        f"not measured: {statistics.median(without):.0f} µs",
                        ratios(without, with_it),
                        0.97,
                    )
                )


@contextlib.contextmanager
def _serving(databases: Databases, settings: Mapping[str, Any]) -> Iterator[ServerProcess]:
    with databases.fresh("postgresql") as url, service(url, **settings) as server:
        yield server


def _cpu_us(server: ServerProcess, work: Work) -> float:
    before = server.cpu_seconds()
    requests = work(server)
    return (server.cpu_seconds() - before) / requests * 1e6


def _ask(server: ServerProcess, questions: int) -> int:
    with grpc.insecure_channel(server.address) as channel:
        caller = Caller(channel)
        for _ in range(questions):
            caller.get_metrics(**lately())
    return questions
