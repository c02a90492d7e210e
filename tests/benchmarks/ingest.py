"""Durable ingest, next to the bare database and to the bare gRPC server."""

import contextlib
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.benchmarks import replay
from tests.benchmarks.bodies import Bodies, as_json, bodies
from tests.benchmarks.empty_http_server import PATH as INGEST_PATH
from tests.benchmarks.processes import (
    Load,
    LoadGenerator,
    ServerProcess,
    empty_http_server,
    empty_server,
    service,
)
from tests.benchmarks.results import LoadRow, Results, Row, check_equal, rate
from tests.benchmarks.timing import ratios
from tests.support.databases import Databases

BATCH_EVENTS = 1_000
BATCH_BODIES = 16
BATCHES_IN_FLIGHT = 8
SINGLES_IN_FLIGHT = 128
SINGLES_BODIES = 2_000

EMPTY_WARMUP_REQUESTS = 2_000

SAMPLE_SECONDS = 0.5
"""The time between two looks at the memory."""

T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """One run of the service under load."""

    load: Load
    commit_events: float
    server_cpu_seconds: float
    database_cpu_seconds: float
    bytes_per_event: float


def batches(
    databases: Databases, results: Results, *, engine: str, keyed: bool, seconds: float, rounds: int
) -> None:
    """Requests of 1 000 events, next to writing the same rows in transactions of the same size."""
    keys = "with external ids" if keyed else "without external ids"
    name = f"ingest, 1 000 events a request, {engine}, {keys}"
    prepared = bodies(requests=BATCH_BODIES, events_each=BATCH_EVENTS, keyed=keyed)
    ours: list[Measured] = []
    theirs: list[replay.Replay] = []
    with generator_of(prepared) as generator:
        for _ in range(rounds):
            with databases.fresh(engine) as url:
                with service(url) as server:
                    measured = _measure(
                        generator,
                        server,
                        replay.database(url),
                        in_flight=BATCHES_IN_FLIGHT,
                        seconds=seconds,
                        warmup_requests=BATCH_BODIES,
                    )
                rows = replay.database(url).rows()
                content = replay.database(url).content()
            ours.append(measured)
            with databases.fresh(engine) as url:
                replay.create_tables(url)
                database = replay.database(url)
                theirs.append(
                    database.replay(
                        rows,
                        untimed=len(rows) - measured.load.events,
                        commit_events=round(measured.commit_events),
                    )
                )
                check_equal("rows replayed", database.content(), content)
            del rows
    our_rates = [one.load.events_per_second for one in ours]
    their_rates = [one.events_per_second for one in theirs]
    peer = "COPY" if engine == "postgresql" else "executemany"
    results.rows.append(
        Row(
            name,
            rate(statistics.median(our_rates), "events"),
            f"raw {peer} of the same rows: {rate(statistics.median(their_rates), 'events')}",
            ratios(our_rates, their_rates),
            0.7,
        )
    )
    results.loads.append(_load_row(name, ours))
    results.loads.append(
        LoadRow(
            f"raw {peer} of the same rows, same commit size",
            statistics.median(their_rates),
            commit_events=_median(ours, lambda one: one.commit_events),
            database_cpu_us=_median(theirs, lambda one: one.cpu_seconds / one.events * 1e6),
        )
    )


def singles(databases: Databases, results: Results, *, seconds: float, rounds: int) -> None:
    """Requests of one event, next to a server that does nothing."""
    name = f"ingest, 1 event a request, {SINGLES_IN_FLIGHT} in flight, postgresql"
    prepared = bodies(requests=SINGLES_BODIES, events_each=1, keyed=True)
    ours: list[Measured] = []
    theirs: list[Load] = []
    with (
        generator_of(prepared) as generator,
        empty_server() as empty,
        databases.fresh("postgresql") as url,
        service(url) as server,
    ):
        generator.send(empty.address, in_flight=SINGLES_IN_FLIGHT, requests=EMPTY_WARMUP_REQUESTS)
        for _ in range(rounds):
            ours.append(
                _measure(
                    generator,
                    server,
                    replay.database(url),
                    in_flight=SINGLES_IN_FLIGHT,
                    seconds=seconds,
                    warmup_requests=SINGLES_BODIES,
                )
            )
            cpu = empty.cpu_seconds()
            load = generator.send(empty.address, in_flight=SINGLES_IN_FLIGHT, seconds=seconds)
            theirs.append(load)
            empty_cpu_us = (empty.cpu_seconds() - cpu) / load.events * 1e6
    our_rates = [one.load.events_per_second for one in ours]
    their_rates = [one.events_per_second for one in theirs]
    peer = "empty grpc.aio handler"
    results.rows.append(
        Row(
            name,
            rate(statistics.median(our_rates), "requests"),
            f"{peer}: {rate(statistics.median(their_rates), 'requests')}",
            ratios(our_rates, their_rates),
            0.6,
        )
    )
    results.loads.append(_load_row(name, ours))
    results.loads.append(
        LoadRow(
            f"{peer}, same load",
            statistics.median(their_rates),
            p50_ms=_median(theirs, lambda one: one.p50_ms),
            p99_ms=_median(theirs, lambda one: one.p99_ms),
            server_cpu_us=empty_cpu_us,
            load_cores=_median(theirs, lambda one: one.cpu_seconds / one.seconds),
        )
    )


def batches_over_http(
    databases: Databases, results: Results, *, seconds: float, rounds: int
) -> None:
    """Requests of 1 000 events as JSON over HTTP, next to the same events over gRPC."""
    name = "ingest over HTTP, 1 000 events a request, postgresql"
    of_a_size = partial(bodies, requests=BATCH_BODIES, events_each=BATCH_EVENTS, keyed=True)
    ours: list[Measured] = []
    theirs: list[Measured] = []
    with (
        generator_of(of_a_size(write=as_json)) as over_http,
        generator_of(of_a_size()) as over_grpc,
    ):
        for _ in range(rounds):
            for generator, measured in ((over_http, ours), (over_grpc, theirs)):
                with databases.fresh("postgresql") as url, service(url) as server:
                    measured.append(
                        _measure(
                            generator,
                            server,
                            replay.database(url),
                            in_flight=BATCHES_IN_FLIGHT,
                            seconds=seconds,
                            warmup_requests=BATCH_BODIES,
                            over_http=generator is over_http,
                        )
                    )
    our_rates = [one.load.events_per_second for one in ours]
    their_rates = [one.load.events_per_second for one in theirs]
    results.rows.append(
        Row(
            name,
            rate(statistics.median(our_rates), "events"),
            f"the same over gRPC: {rate(statistics.median(their_rates), 'events')}",
            ratios(our_rates, their_rates),
            0.8,
        )
    )
    results.loads.append(_load_row(name, ours))
    results.loads.append(_load_row("the same over gRPC", theirs))


def singles_over_http(
    databases: Databases, results: Results, *, seconds: float, rounds: int
) -> None:
    """Requests of one event as JSON over HTTP, next to a handler that does nothing."""
    name = f"ingest over HTTP, 1 event a request, {SINGLES_IN_FLIGHT} in flight, postgresql"
    prepared = bodies(requests=SINGLES_BODIES, events_each=1, keyed=True, write=as_json)
    ours: list[Measured] = []
    theirs: list[Load] = []
    with (
        generator_of(prepared) as generator,
        empty_http_server() as empty,
        databases.fresh("postgresql") as url,
        service(url) as server,
    ):
        send_to_empty = partial(
            generator.send, empty.http_address, in_flight=SINGLES_IN_FLIGHT, path=INGEST_PATH
        )
        send_to_empty(requests=EMPTY_WARMUP_REQUESTS)
        for _ in range(rounds):
            ours.append(
                _measure(
                    generator,
                    server,
                    replay.database(url),
                    in_flight=SINGLES_IN_FLIGHT,
                    seconds=seconds,
                    warmup_requests=SINGLES_BODIES,
                    over_http=True,
                )
            )
            theirs.append(send_to_empty(seconds=seconds))
    our_rates = [one.load.events_per_second for one in ours]
    their_rates = [one.events_per_second for one in theirs]
    results.rows.append(
        Row(
            name,
            rate(statistics.median(our_rates), "requests"),
            f"empty Starlette handler: {rate(statistics.median(their_rates), 'requests')}",
            ratios(our_rates, their_rates),
            0.6,
        )
    )
    results.loads.append(_load_row(name, ours))
    results.loads.append(
        LoadRow(
            "empty Starlette handler, same load",
            statistics.median(their_rates),
            p50_ms=_median(theirs, lambda one: one.p50_ms),
            p99_ms=_median(theirs, lambda one: one.p99_ms),
            load_cores=_median(theirs, lambda one: one.cpu_seconds / one.seconds),
        )
    )


def soak(databases: Databases, results: Results, *, seconds: float) -> None:
    """The memory of the service under load that lasts."""
    prepared = bodies(requests=BATCH_BODIES, events_each=BATCH_EVENTS, keyed=True)
    with (
        generator_of(prepared) as generator,
        databases.fresh("postgresql") as url,
        service(url) as server,
    ):
        resident = [server.resident_bytes()]
        process = generator.start(server.address, in_flight=BATCHES_IN_FLIGHT, seconds=seconds)
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_SECONDS)
            resident.append(server.resident_bytes())
        load = generator.finish(process)
        check_equal(
            "events stored",
            replay.database(url).content(),
            replay.Content(load.events, load.cost_picocents),
        )
    quarters = [resident[len(resident) * part // 4 - 1] for part in range(1, 5)]
    results.notes.append(
        f"resident memory of the service over {load.seconds:.0f} s of requests of 1 000 events, "
        f"{load.events / 1e6:.3g} M events in all: {_mib(resident[0])} before, "
        f"{', '.join(map(_mib, quarters))} after each quarter, {_mib(max(resident))} at most"
    )


def _measure(
    generator: LoadGenerator,
    server: ServerProcess,
    database: replay.Database,
    *,
    in_flight: int,
    seconds: float,
    warmup_requests: int,
    over_http: bool = False,
) -> Measured:
    """Loads the service and checks that what it acknowledged is stored, and nothing else."""
    address = server.http_address if over_http else server.address
    path = INGEST_PATH if over_http else None
    before = database.content()
    warmup = generator.send(address, in_flight=in_flight, requests=warmup_requests, path=path)
    database.checkpoint()
    commits = database.commits()
    server_cpu, database_cpu = server.cpu_seconds(), database.service_cpu_seconds()
    load = generator.send(address, in_flight=in_flight, seconds=seconds, path=path)
    server_cpu = server.cpu_seconds() - server_cpu
    database_cpu = database.service_cpu_seconds() - database_cpu
    commits = database.commits() - commits
    check_equal("events inserted", load.inserted, load.events)
    check_equal(
        "events stored",
        database.content(),
        replay.Content(
            before.events + warmup.events + load.events,
            before.cost_picocents + warmup.cost_picocents + load.cost_picocents,
        ),
    )
    return Measured(
        load, load.events / commits, server_cpu, database_cpu, database.bytes_per_event()
    )


@contextlib.contextmanager
def generator_of(prepared: Bodies) -> Iterator[LoadGenerator]:
    """A load generator that sends these bodies."""
    with tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder:
        yield LoadGenerator(Path(folder), prepared)


def _load_row(name: str, runs: Sequence[Measured]) -> LoadRow:
    return LoadRow(
        name,
        _median(runs, lambda one: one.load.events_per_second),
        p50_ms=_median(runs, lambda one: one.load.p50_ms),
        p99_ms=_median(runs, lambda one: one.load.p99_ms),
        commit_events=_median(runs, lambda one: one.commit_events),
        server_cpu_us=_median(runs, lambda one: one.server_cpu_seconds / one.load.events * 1e6),
        database_cpu_us=_median(runs, lambda one: one.database_cpu_seconds / one.load.events * 1e6),
        load_cores=_median(runs, lambda one: one.load.cpu_seconds / one.load.seconds),
        disk_bytes=_median(runs, lambda one: one.bytes_per_event),
    )


def _median(runs: Sequence[T], value: Callable[[T], float]) -> float:
    return statistics.median(map(value, runs))


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
