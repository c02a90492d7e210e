"""Databases that hold a data set, filled through the service's own door."""

import argparse
import contextlib
import functools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.benchmarks import replay
from tests.benchmarks.ingest import BATCHES_IN_FLIGHT
from tests.benchmarks.metrics.data_set import BLOCK_EVENTS, PART_BLOCKS, Columns, DataSet
from tests.benchmarks.metrics.questions import Facts, Question, exact_sum, facts_of
from tests.benchmarks.processes import LoadGenerator, service
from tests.benchmarks.results import check_equal
from tests.support.databases import Databases

COMPACTION_SECONDS_MAX = 600
POLL_SECONDS = 0.01


@dataclass(frozen=True, eq=False)
class Stored:
    """A database with the whole of a data set in it, compacted."""

    url: str
    data_set: DataSet
    columns: Columns

    @functools.cache  # noqa: B019 (there are few, and they last as long as the program)
    def facts(self, question: Question) -> Facts:
        """The right answer to a question."""
        return facts_of(self.columns, question)

    @property
    def costs_picocents(self) -> int:
        """The total cost of all its events."""
        return exact_sum(self.columns.costs_picocents)


class StoredDataSets:
    """Fills databases when they are first asked for."""

    def __init__(self, databases: Databases, end_us: int) -> None:
        self._databases = databases
        self.end_us = end_us
        self._stored: dict[tuple[str, int], Stored] = {}
        self._exit = contextlib.ExitStack()

    def close(self) -> None:
        """Closes the databases; those that are to be kept stay."""
        self._exit.close()

    def get(self, engine: str, events: int) -> Stored:
        """The database of that many events."""
        key = engine, events
        if key not in self._stored:
            url = self._exit.enter_context(self._databases.kept(engine, f"metrics_{events}"))
            data_set = DataSet(self.end_us, events)
            stored = Stored(url, data_set, data_set.columns())
            _fill(stored)
            self._stored[key] = stored
        return self._stored[key]


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Adds the option that keeps data sets."""
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep the data sets in this folder and use those that are there",
    )


def events_option(text: str) -> int:
    """The number of events of a data set, from the command line."""
    events = int(text)
    if events < BLOCK_EVENTS or events % BLOCK_EVENTS:
        raise argparse.ArgumentTypeError(f"must be a multiple of {BLOCK_EVENTS}")
    return events


@contextlib.contextmanager
def stored_data_sets(keep: Path | None) -> Iterator[tuple[Databases, StoredDataSets]]:
    """Databases in a folder, and the data sets in them; they stay if there is a folder to keep."""
    with contextlib.ExitStack() as exits:
        folder = keep or Path(
            exits.enter_context(tempfile.TemporaryDirectory(prefix="cost-insights-bench-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        databases = exits.enter_context(
            contextlib.closing(Databases(folder.resolve(), keep=keep is not None))
        )
        stored = exits.enter_context(
            contextlib.closing(StoredDataSets(databases, _end_us(folder / "end_us")))
        )
        yield databases, stored


def _end_us(file: Path) -> int:
    """The time at which the events end: now, or that of the events that are kept."""
    if not file.exists():
        file.write_text(str(time.time_ns() // 1_000))
    return int(file.read_text())


def _fill(stored: Stored) -> None:
    """Sends everything unless it is there; what was cut short is sent again, and counts once."""
    replay.create_tables(stored.url)
    database = replay.database(stored.url)
    expected = replay.Content(stored.data_set.events, stored.costs_picocents)
    with service(stored.url) as server:
        if database.content() != expected:
            part_events = BLOCK_EVENTS * PART_BLOCKS
            for number, bodies in track(
                enumerate(stored.data_set.parts()),
                f"storing {stored.data_set.events:,} events",
                total=-(-stored.data_set.events // part_events),
                console=Console(stderr=True),
            ):
                with tempfile.TemporaryDirectory(prefix="cost-insights-load-") as folder:
                    generator = LoadGenerator(Path(folder), bodies, first_key=number * part_events)
                    generator.send(
                        server.address,
                        in_flight=BATCHES_IN_FLIGHT,
                        requests=len(bodies.requests),
                    )
        wait_until_compacted(database)
    check_equal("events stored", database.content(), expected)
    database.settle()


def wait_until_compacted(database: replay.Database) -> float:
    """Returns once nothing is pending: how many seconds that took."""
    start = time.perf_counter()
    while pending := database.pending_batches():
        if time.perf_counter() - start > COMPACTION_SECONDS_MAX:
            raise TimeoutError(f"{pending} batches wait for compaction too long")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - start
