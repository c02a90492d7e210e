"""Durable ingest, next to the bare database and to the bare gRPC server."""

import contextlib
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import replay
from tests.benchmarks.bodies import Bodies, bodies
from tests.benchmarks.processes import Load, LoadGenerator, ServerProcess, empty_server, service
from tests.benchmarks.results import Results, Row, check_equal, rate
from tests.benchmarks.timing import median_ratio
from tests.support.databases import Databases

BATCH_EVENTS = 1_000
BATCH_BODIES = 16
BATCHES_IN_FLIGHT = 8
SINGLES_IN_FLIGHT = 128
SINGLES_BODIES = 2_000

EMPTY_WARMUP_REQUESTS = 2_000

SAMPLE_SECONDS = 0.5
"""How often the memory is looked at."""


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
    theirs: list[tuple[float, replay.Replay]] = []
    with _generator(prepared) as generator:
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
            with databases.fresh(engine) as url:
                replay.create_tables(url)
                database = replay.database(url)
                replayed = database.replay(
                    rows,
                    untimed=len(rows) - measured.load.events,
                    commit_events=round(measured.commit_events),
                )
                check_equal("rows replayed", database.content(), content)
            del rows
            ours.append(measured)
            theirs.append((measured.load.events / replayed.seconds, replayed))
    our_rates = [one.load.events_per_second for one in ours]
    their_rates = [per_second for per_second, _ in theirs]
    peer = "raw COPY" if engine == "postgresql" else "raw executemany"
    results.rows.append(
        Row(
            name,
            rate(statistics.median(our_rates), "events"),
            f"{peer} of the same rows: {rate(statistics.median(their_rates), 'events')}",
            median_ratio(our_rates, their_rates),
            0.7,
        )
    )
    results.facts.append((name, _described(ours)))
    if any(one.cpu_seconds for _, one in theirs):
        busy = statistics.median((one.cpu_seconds or 0) / one.seconds for _, one in theirs)
        results.facts.append(
            (f"{peer} of the same", f"keeps {busy:.0%} of a core of the database busy")
        )


def singles(databases: Databases, results: Results, *, seconds: float, rounds: int) -> None:
    """Requests of one event, next to a server that does nothing."""
    name = (
        f"ingest, 1 event a request, {SINGLES_IN_FLIGHT} in flight, postgresql, with external ids"
    )
    prepared = bodies(requests=SINGLES_BODIES, events_each=1, keyed=True)
    ours: list[Measured] = []
    theirs: list[Load] = []
    with (
        _generator(prepared) as generator,
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
            theirs.append(
                generator.send(empty.address, in_flight=SINGLES_IN_FLIGHT, seconds=seconds)
            )
    our_rates = [one.load.events_per_second for one in ours]
    their_rates = [one.events_per_second for one in theirs]
    results.rows.append(
        Row(
            name,
            rate(statistics.median(our_rates), "requests"),
            f"empty grpc.aio handler: {rate(statistics.median(their_rates), 'requests')}",
            median_ratio(our_rates, their_rates),
            0.6,
        )
    )
    results.facts.append((name, _described(ours)))
    results.facts.append(
        (
            "empty grpc.aio handler under the same load",
            f"p50 {statistics.median(one.p50_ms for one in theirs):.3g} ms, "
            f"p99 {statistics.median(one.p99_ms for one in theirs):.3g} ms, "
            f"load generator {_share(theirs)} of a core",
        )
    )


def _measure(
    generator: LoadGenerator,
    server: ServerProcess,
    database: replay.Database,
    *,
    in_flight: int,
    seconds: float,
    warmup_requests: int,
) -> Measured:
    """Loads the service and checks that what it acknowledged is stored, and nothing else."""
    before = database.content()
    warmup = generator.send(server.address, in_flight=in_flight, requests=warmup_requests)
    database.checkpoint()
    commits = database.commits()
    server_cpu, database_cpu = server.cpu_seconds(), database.service_cpu_seconds()
    load = generator.send(server.address, in_flight=in_flight, seconds=seconds)
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
def _generator(prepared: Bodies) -> Iterator[LoadGenerator]:
    with tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder:
        yield LoadGenerator(Path(folder), prepared)


def _described(runs: Sequence[Measured]) -> str:
    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    loads = [one.load for one in runs]
    parts = [
        rate(median(one.events_per_second for one in loads), "events"),
        f"p50 {median(one.p50_ms for one in loads):.3g} ms",
        f"p99 {median(one.p99_ms for one in loads):.3g} ms",
        f"{median(one.commit_events for one in runs):.0f} events a commit",
        f"server {_cpu([(one.server_cpu_seconds, one.load) for one in runs])}",
    ]
    if any(one.database_cpu_seconds for one in runs):
        parts.append(f"database {_cpu([(one.database_cpu_seconds, one.load) for one in runs])}")
    parts += [
        f"load generator {_share(loads)} of a core",
        f"{median(one.bytes_per_event for one in runs):.0f} bytes an event on disk",
        f"{median(one.sent_bytes / one.events for one in loads):.0f} in the request",
    ]
    return ", ".join(parts)


def _cpu(runs: Sequence[tuple[float, Load]]) -> str:
    each = statistics.median(cpu_seconds / load.events for cpu_seconds, load in runs)
    share = statistics.median(cpu_seconds / load.seconds for cpu_seconds, load in runs)
    return f"{each * 1e6:.1f} µs an event ({share:.0%} of a core)"


def _share(loads: Sequence[Load]) -> str:
    return f"{statistics.median(one.cpu_seconds / one.seconds for one in loads):.0%}"


def soak(databases: Databases, results: Results, *, seconds: float) -> None:
    """The memory of the service under load that lasts."""
    prepared = bodies(requests=BATCH_BODIES, events_each=BATCH_EVENTS, keyed=True)
    with (
        _generator(prepared) as generator,
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
    results.facts.append(
        (
            f"resident memory of the service over {load.seconds:.0f} s of that load, "
            f"{load.events / 1e6:.3g} M events",
            f"{_mib(resident[0])} before; {', '.join(map(_mib, quarters))} after each quarter; "
            f"at most {_mib(max(resident))}",
        )
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
