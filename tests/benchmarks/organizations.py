"""Durable ingest of many organizations, next to that of one."""

import statistics
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from cost_insights.identity import create_token, ensure_organization
from cost_insights.store import Store
from tests.benchmarks import replay
from tests.benchmarks.bodies import Bodies, bodies
from tests.benchmarks.processes import Load, LoadGenerator, ServerProcess, service
from tests.benchmarks.results import LoadRow, Results, Row, check_equal, rate
from tests.benchmarks.timing import ratios
from tests.support.databases import Databases

IN_FLIGHT = 128
KNOWN_ORGANIZATIONS = 500
ORGANIZATIONS = 5_000

IDLE_SECONDS_MIN = 5
COMPACTED_SECONDS_MAX = 120


def many_organizations(
    databases: Databases, results: Results, *, seconds: float, rounds: int
) -> None:
    """Requests of one event, each with the token of another organization, next to requests of one
    organization."""
    one: list[Load] = []
    known: list[Load] = []
    new: list[Load] = []
    idle: list[tuple[float, float]] = []
    # As many bodies as organizations with known customers: each of them always sends the same.
    prepared = bodies(requests=KNOWN_ORGANIZATIONS, events_each=1, keyed=True)
    of_new_customers = bodies(
        requests=KNOWN_ORGANIZATIONS, events_each=1, keyed=True, new_customers=True
    )
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder,
            databases.fresh("postgresql") as url,
        ):
            tokens = create_organizations(url, ORGANIZATIONS)
            with service(url) as server:
                database = replay.database(url)
                sending = _Sending(Path(folder), server, database, seconds)
                one.append(sending.load(prepared, tokens[:1]))
                known.append(sending.load(prepared, tokens[:KNOWN_ORGANIZATIONS]))
                new.append(sending.load(of_new_customers, tokens, warmup_requests=0))
                sent = one[-1].events + known[-1].events + new[-1].events
                check_equal(
                    "events stored", database.content().events - sending.warmup_events, sent
                )
                idle.append(_idle(server, database, max(IDLE_SECONDS_MIN, seconds)))
    one_rates = [load.events_per_second for load in one]
    peer = f"the same within one: {rate(statistics.median(one_rates), 'requests')}"
    flight = f"{IN_FLIGHT} in flight, postgresql"
    for name, loads, asked in (
        (f"{KNOWN_ORGANIZATIONS} organizations with known customers", known, 0.8),
        (f"{ORGANIZATIONS:,} organizations with new customers".replace(",", " "), new, 0.4),
    ):
        rates = [load.events_per_second for load in loads]
        what = f"ingest, 1 event a request, {name}, {flight}"
        results.rows.append(
            Row(
                what,
                rate(statistics.median(rates), "requests"),
                peer,
                ratios(rates, one_rates),
                asked,
            )
        )
        results.loads.append(_load_row(what, loads))
    results.loads.append(_load_row(f"ingest, 1 event a request, one organization, {flight}", one))
    results.notes.append(
        f"idle with {ORGANIZATIONS} organizations: the service takes "
        f"{statistics.median(cores for cores, _ in idle):.1%} of a core, its database "
        f"{statistics.median(cores for _, cores in idle):.1%}"
    )


class _Sending:
    def __init__(
        self, folder: Path, server: ServerProcess, database: replay.Database, seconds: float
    ) -> None:
        self._folder = folder
        self._server = server
        self._database = database
        self._seconds = seconds
        self._next_key = 0
        self.warmup_events = 0

    def load(
        self, prepared: Bodies, tokens: list[str], *, warmup_requests: int = 4 * KNOWN_ORGANIZATIONS
    ) -> Load:
        """Sends with one token after the other."""
        file = self._folder / "tokens"
        file.write_text("\n".join(tokens))
        generator = LoadGenerator(self._folder, prepared, first_key=self._next_key)
        if warmup_requests:
            warmup = generator.send(
                self._server.address, in_flight=IN_FLIGHT, requests=warmup_requests, tokens=file
            )
            self.warmup_events += warmup.events
        self._database.checkpoint()
        load = generator.send(
            self._server.address, in_flight=IN_FLIGHT, seconds=self._seconds, tokens=file
        )
        check_equal("events inserted", load.inserted, load.events)
        self._next_key = generator.next_key
        return load


def create_organizations(url: str, count: int) -> list[str]:
    """The secrets of the tokens of new organizations, one each."""
    store = Store(url)
    store.upgrade()
    with store.write() as connection:
        secrets = [
            create_token(
                connection,
                ensure_organization(connection, f"organization {number}"),
                {"events:write"},
                expires_us=None,
            )[1]
            for number in range(count)
        ]
        connection.execute(sa.text("ANALYZE organization, access_token"))
    store.close()
    return secrets


def _idle(server: ServerProcess, database: replay.Database, seconds: float) -> tuple[float, float]:
    """The share of a core that the service and its database take once all is compacted."""
    until = time.monotonic() + COMPACTED_SECONDS_MAX
    while database.pending_batches():
        if time.monotonic() > until:
            raise RuntimeError(f"not compacted after {COMPACTED_SECONDS_MAX} s")
        time.sleep(1)
    time.sleep(1)
    before = server.cpu_seconds(), database.service_cpu_seconds()
    time.sleep(seconds)
    after = server.cpu_seconds(), database.service_cpu_seconds()
    return (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds


def _load_row(name: str, loads: list[Load]) -> LoadRow:
    return LoadRow(
        name,
        statistics.median(load.events_per_second for load in loads),
        p50_ms=statistics.median(load.p50_ms for load in loads),
        p99_ms=statistics.median(load.p99_ms for load in loads),
        load_cores=statistics.median(load.cpu_seconds / load.seconds for load in loads),
    )
