"""`make bench-metrics`: how fast metrics are answered, in two tables."""

import argparse
import sys
from collections.abc import Mapping

from tests.benchmarks.metrics import revenue_rows, rows, web_rows
from tests.benchmarks.metrics.data_set import DataSet
from tests.benchmarks.metrics.peers import clickhouse, event_table
from tests.benchmarks.metrics.recorded import recorded
from tests.benchmarks.metrics.revenue_data_set import RevenueDataSet
from tests.benchmarks.metrics.stored import (
    Stored,
    StoredDataSets,
    add_keep,
    events_option,
    stored_data_sets,
)
from tests.benchmarks.results import Results
from tests.benchmarks.running import Benchmark, add_only, run, show
from tests.support.databases import Databases


def main() -> int:
    """Runs the benchmarks; 1 if one could not be run or an answer was wrong."""
    parser = argparse.ArgumentParser(prog="make bench-metrics", description=__doc__)
    add_only(parser, _NAMES)
    for name, events, what in (
        ("events", 20_000_000, "of the large data set on PostgreSQL"),
        ("small-events", 1_000_000, "of the small data set that it is compared with"),
        ("sqlite-events", 5_000_000, "of the data set on SQLite"),
        ("ingest-events", 3_000_000, "of each round of ingest with compaction and without"),
    ):
        parser.add_argument(
            f"--{name}",
            type=events_option,
            default=events,
            metavar="N",
            help=f"how many events {what} (default {events:,})",
        )
    for name, records in (("orders", 1_000_000), ("subscriptions", 50_000)):
        parser.add_argument(
            f"--{name}",
            type=_records,
            default=records,
            metavar="N",
            help=f"how many {name} beside the large data set (default {records:,})",
        )
    parser.add_argument(
        "--seconds", type=float, default=5, help="how long each question is asked (default 5)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often peers take turns (default 5)"
    )
    add_keep(parser)
    options = parser.parse_args()
    results = Results()
    with stored_data_sets(options.keep) as (databases, stored):
        run(_benchmarks(options, databases, stored, results), options.only, results)
    return show(results)


def _records(text: str) -> int:
    records = int(text)
    if records < _RECORDS_MIN:
        raise argparse.ArgumentTypeError(f"must be at least {_RECORDS_MIN}")
    return records


_RECORDS_MIN = 100
"""So that there is something of everything."""

_NAMES = (
    "answers",
    "zones",
    "growth",
    "sql",
    "clickhouse",
    "groups",
    "http",
    "lists",
    "beside-ingest",
    "compaction",
    "disk",
    "revenue",
    "sqlite",
)


def _benchmarks(
    options: argparse.Namespace, databases: Databases, stored: StoredDataSets, results: Results
) -> Mapping[str, Benchmark]:
    seconds, rounds = options.seconds, options.rounds

    def large() -> Stored:
        return stored.get("postgresql", options.events)

    def growth() -> None:
        small = stored.get("postgresql", options.small_events)
        rows.growth(large(), small, results, seconds=seconds, rounds=rounds)

    def sql() -> None:
        with event_table(large().url) as peer:
            rows.beside_peer(large(), peer, results, seconds=seconds, rounds=rounds, asked=200)

    def beside_clickhouse() -> None:
        with clickhouse(large().columns) as peer:
            rows.beside_peer(large(), peer, results, seconds=seconds, rounds=rounds, asked=30)

    def compaction() -> None:
        data_set = DataSet(stored.end_us, options.ingest_events)
        rows.compaction(databases, results, data_set, rounds=rounds)

    def revenue() -> None:
        earned = RevenueDataSet(stored.end_us, options.orders, options.subscriptions)
        revenue_rows.revenue(recorded(large(), earned), results, seconds=seconds)

    def sqlite() -> None:
        embedded = stored.get("sqlite", options.sqlite_events)
        rows.answers(embedded, results, seconds=seconds, p50_ms_max=15)

    benchmarks: tuple[Benchmark, ...] = (
        lambda: rows.answers(large(), results, seconds=seconds, p50_ms_max=10),
        lambda: rows.zones(large(), results, seconds=seconds),
        growth,
        sql,
        beside_clickhouse,
        lambda: rows.groups(large(), results, seconds=seconds),
        lambda: web_rows.over_http(large(), results, seconds=seconds, rounds=rounds),
        lambda: web_rows.newest_events(large(), results, seconds=seconds),
        lambda: rows.beside_ingest(databases, large(), results, seconds=seconds),
        compaction,
        lambda: rows.disk(large(), results),
        revenue,
        sqlite,
    )
    return dict(zip(_NAMES, benchmarks, strict=True))


if __name__ == "__main__":
    sys.exit(main())
