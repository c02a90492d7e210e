"""Every measurement of the service: one table of what is measured, which every output shows.

No label has a value that callers choose: operations, doors, codes and reasons are closed sets, and
what is not in them has one value of its own.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final, TypeVar

from cost_insights._native import faults
from cost_insights.errors import REASONS
from cost_insights.telemetry.instruments import (
    COUNTS,
    Combination,
    Counter,
    Gauge,
    Histogram,
    Instruments,
    NoInstruments,
)

_T = TypeVar("_T")

CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The codes with which calls end, by their numbers in gRPC."""

GRPC: Final = "grpc"
CONNECT: Final = "connect"
GRPC_WEB: Final = "grpc_web"
HTTP: Final = "http"
"""The doors: gRPC, and over HTTP the two protocols for RPCs and everything else, of which most is
the compatible API."""

UNKNOWN: Final = "unknown"
"""The operation of calls of methods and paths that do not exist."""

HEALTH: Final = "health"
REFLECTION: Final = "reflection"
DOCUMENTS: Final = "documents"
DASHBOARD: Final = "dashboard"
"""The operations that are open to anybody; the documents describe the API over HTTP, and to the
dashboard belong its files and signing in."""


class MeasuredOperation:
    """The measurements of the calls of one operation through one door."""

    __slots__ = ("by_code", "door", "name", "running", "seconds")

    def __init__(
        self,
        name: str,
        door: str,
        by_code: Mapping[str, Counter],
        seconds: Histogram,
        running: Gauge,
    ) -> None:
        self.name = name
        self.door = door
        self.by_code = by_code
        """The calls that ended with a code."""

        self.seconds = seconds
        self.running = running
        """The calls that have not ended."""


class CallMeasurements:
    """The calls of operations."""

    def __init__(
        self,
        instruments: Instruments,
        *,
        rpcs: Sequence[str],
        streams: Sequence[str],
        endpoints: Sequence[str],
    ) -> None:
        """`streams` are those of the RPCs to which callers send as long as they like."""
        operations = [
            *((GRPC, name) for name in (*rpcs, HEALTH, REFLECTION, UNKNOWN)),
            *product((CONNECT, GRPC_WEB), rpcs),
            *((HTTP, name) for name in (*endpoints, HEALTH, DOCUMENTS, DASHBOARD, UNKNOWN)),
        ]
        doors = [(GRPC,), (CONNECT,), (GRPC_WEB,), (HTTP,)]
        calls = instruments.counters(
            "cost_insights_calls",
            "Calls that have ended, by the code they ended with.",
            "calls",
            ("door", "operation", "code"),
            [(*one, code) for one in operations for code in CODES],
            shows_zeros=False,
        )
        seconds = instruments.histograms(
            "cost_insights_call_duration_seconds",
            "Time from the arrival of a call to the end of its answer.",
            "seconds",
            ("door", "operation"),
            operations,
            shows_zeros=False,
        )
        running = instruments.gauges(
            "cost_insights_calls_in_progress",
            "Calls that have not ended, streams of events apart.",
            "calls",
            ("door",),
            doors,
        )
        open_streams = instruments.gauges(
            "cost_insights_open_streams",
            "Streams of events that have not ended.",
            "streams",
            ("door",),
            doors[:3],
        )
        self.errors: Mapping[str, Counter] = _by_value(
            instruments.counters(
                "cost_insights_errors",
                "Errors that callers were answered, by the reason of their ErrorInfo; those of one "
                "batch of a stream too.",
                "errors",
                ("reason",),
                [(reason,) for reason in sorted(REASONS | faults.REASONS)],
            )
        )
        self._operations = {
            (door, name): MeasuredOperation(
                name,
                door,
                {code: calls[door, name, code] for code in CODES},
                seconds[door, name],
                open_streams[door,] if name in streams else running[door,],
            )
            for door, name in operations
        }

    def of(self, door: str, operation: str) -> MeasuredOperation:
        """The measurements of an operation; raises KeyError if it is none of that door."""
        return self._operations[door, operation]


class IngestMeasurements:
    """Events on their way into the database."""

    def __init__(self, instruments: Instruments) -> None:
        self.events: Mapping[str, Counter] = _by_value(
            instruments.counters(
                "cost_insights_events",
                "Events of requests, by their result: inserted; duplicate, stored before; "
                "conflict, whose external id is taken by other content; refused.",
                "events",
                ("result",),
                [("inserted",), ("duplicate",), ("conflict",), ("refused",)],
            )
        )
        self.faults: Mapping[str, Counter] = _by_value(
            instruments.counters(
                "cost_insights_event_faults",
                "Faults of events that were refused, by reason; at most about a thousand of each "
                "request count.",
                "faults",
                ("reason",),
                [(reason,) for reason in sorted(REASONS | faults.REASONS)],
                shows_zeros=False,
            )
        )
        self.folded_series = instruments.counter(
            "cost_insights_folded_series",
            "New series beyond the limit of their organization, whose events are counted together.",
            "series",
        )
        self.request_bytes = instruments.counter(
            "cost_insights_ingested_bytes",
            "Bytes of the requests whose events were stored, once decompressed.",
            "bytes",
        )
        self.group_events = instruments.histogram(
            "cost_insights_group_events",
            "Events of a group, which is stored in one transaction.",
            "events",
            COUNTS,
        )
        self.group_requests = instruments.histogram(
            "cost_insights_group_requests", "Requests of a group.", "requests", COUNTS
        )
        self.group_seconds = instruments.histogram(
            "cost_insights_group_duration_seconds",
            "Time from the start of a group's transaction to the end of its commit, retries "
            "included.",
            "seconds",
        )
        self.commit_seconds = instruments.histogram(
            "cost_insights_commit_duration_seconds",
            "Time of the commit of a group, with its flush to disk.",
            "seconds",
        )
        self.waiting_events = instruments.gauge(
            "cost_insights_waiting_events", "Events that wait to be stored.", "events"
        )
        self.waiting_events_max = instruments.gauge(
            "cost_insights_waiting_events_limit",
            "Events that may wait to be stored before requests are refused.",
            "events",
        )
        self.waiting_bytes = instruments.gauge(
            "cost_insights_waiting_bytes",
            "Bytes of requests whose events wait to be stored.",
            "bytes",
        )
        self.in_flight_bytes = instruments.gauge(
            "cost_insights_in_flight_bytes", "Memory reserved for requests in work.", "bytes"
        )
        self.in_flight_bytes_max = instruments.gauge(
            "cost_insights_in_flight_bytes_limit",
            "Memory that requests in work may take together.",
            "bytes",
        )


class CompactionMeasurements:
    """Batches on their way into segments."""

    def __init__(self, instruments: Instruments) -> None:
        self.pending_batches = instruments.gauge(
            "cost_insights_pending_batches",
            "Batches that wait for compaction, as the process that compacts last saw them.",
            "batches",
            combination=Combination.MAX,
        )
        self.oldest_seconds = instruments.gauge(
            "cost_insights_pending_batch_age_seconds",
            "Age of the oldest batch that waits for compaction; 0 if none does.",
            "seconds",
            combination=Combination.MAX,
        )
        self.rounds: Mapping[str, Counter] = _by_value(
            instruments.counters(
                "cost_insights_compaction_rounds",
                "Transactions of compaction, by result.",
                "rounds",
                ("result",),
                [("done",), ("failed",)],
            )
        )
        self.seconds = instruments.histogram(
            "cost_insights_compaction_duration_seconds",
            "Time of a transaction of compaction.",
            "seconds",
        )
        self.replaced_bytes = instruments.counter(
            "cost_insights_compacted_bytes",
            "Bytes of batches and segments that compaction has replaced.",
            "bytes",
        )


class QuestionMeasurements:
    """Questions for metrics."""

    KINDS = ("ungrouped", "event_name", "llm_vendor", "llm_model", "customer", "product")

    def __init__(self, instruments: Instruments) -> None:
        self.seconds: Mapping[str, Histogram] = _by_value(
            instruments.histograms(
                "cost_insights_question_duration_seconds",
                "Time to answer a question for metrics, without waiting for a turn; `kind` is what "
                "the answer is grouped by.",
                "seconds",
                ("kind",),
                [(kind,) for kind in self.KINDS],
                threads=True,
            )
        )


class CacheMeasurements:
    """A cache, whose owner sees to it that one thread at a time counts."""

    def __init__(self, hits: Counter, misses: Counter, size: Gauge) -> None:
        self.hits = hits
        self.misses = misses
        self.bytes = size


class DatabaseMeasurements:
    """Connections to the database."""

    POOLS = ("transactions", "statements")

    def __init__(self, instruments: Instruments) -> None:
        pools = [(pool,) for pool in self.POOLS]
        self.in_use: Mapping[str, Gauge] = _by_value(
            instruments.gauges(
                "cost_insights_database_connections_in_use",
                "Connections of a pool that are in use.",
                "connections",
                ("pool",),
                pools,
            )
        )
        self.limit: Mapping[str, Gauge] = _by_value(
            instruments.gauges(
                "cost_insights_database_connections_limit",
                "Connections that a pool may open.",
                "connections",
                ("pool",),
                pools,
            )
        )
        self.waiting: Mapping[str, Gauge] = _by_value(
            instruments.gauges(
                "cost_insights_database_waiting",
                "Threads that wait for a connection of a pool.",
                "threads",
                ("pool",),
                pools,
            )
        )
        self.failures = instruments.counter(
            "cost_insights_database_failures",
            "Times that the database failed or did not answer, retries included.",
            "failures",
        )


class ProcessMeasurements:
    """The processes of the service."""

    def __init__(self, instruments: Instruments, *, release: str, python: str) -> None:
        self.processes = instruments.gauge(
            "cost_insights_processes", "Processes that serve.", "processes"
        )
        self.loop_lag_seconds = instruments.histogram(
            "cost_insights_event_loop_lag_seconds",
            "Time by which the event loop came too late, looked at twice a second.",
            "seconds",
        )
        # The names that every library for Prometheus uses.
        self.cpu_seconds = instruments.counter(
            "process_cpu_seconds", "Time of processors, of user and system.", "seconds"
        )
        self.resident_bytes = instruments.gauge(
            "process_resident_memory_bytes", "Memory in use, resident.", "bytes"
        )
        self.open_files = instruments.gauge(
            "process_open_fds", "Files and connections that are open.", "files"
        )
        self.open_files_max = instruments.gauge(
            "process_max_fds", "Files and connections that may be open.", "files"
        )
        self.started = instruments.gauge(
            "process_start_time_seconds",
            "Time of the latest start of a process, in seconds since 1970.",
            "seconds",
            combination=Combination.MAX,
        )
        self.build = instruments.gauges(
            "cost_insights_build_info",
            "Always 1; the version is in the labels.",
            "1",
            ("version", "python"),
            [(release, python)],
            combination=Combination.MAX,
        )


class Measurements:
    """All measurements of a process."""

    def __init__(
        self,
        instruments: Instruments,
        *,
        rpcs: Sequence[str] = (),
        streams: Sequence[str] = (),
        endpoints: Sequence[str] = (),
        release: str = "",
        python: str = "",
    ) -> None:
        """The names of operations, and the versions of the service and of Python."""
        self.instruments = instruments
        self.calls = CallMeasurements(instruments, rpcs=rpcs, streams=streams, endpoints=endpoints)
        self.ingest = IngestMeasurements(instruments)
        self.compaction = CompactionMeasurements(instruments)
        self.questions = QuestionMeasurements(instruments)
        self.cells, self.ledgers = _caches(instruments, "cells", "ledgers")
        self.database = DatabaseMeasurements(instruments)
        self.process = ProcessMeasurements(instruments, release=release, python=python)


def _caches(instruments: Instruments, *names: str) -> list[CacheMeasurements]:
    labels = [(name,) for name in names]
    hits = instruments.counters(
        "cost_insights_cache_hits", "Entries that a cache had.", "entries", ("cache",), labels
    )
    misses = instruments.counters(
        "cost_insights_cache_misses",
        "Entries that were not in a cache, or not up to date.",
        "entries",
        ("cache",),
        labels,
    )
    sizes = instruments.gauges(
        "cost_insights_cache_bytes",
        "Size of a cache: of packed sums, or of the ledgers of revenue.",
        "bytes",
        ("cache",),
        labels,
    )
    return [CacheMeasurements(hits[one], misses[one], sizes[one]) for one in labels]


def _by_value(series: Mapping[tuple[str, ...], _T]) -> Mapping[str, _T]:
    """Series of one label by its value."""
    return {labels[0]: one for labels, one in series.items()}


NOTHING: Final = Measurements(NoInstruments())
"""Measures nothing."""
