"""Every part of the service, built once from its settings and closed in reverse."""

import asyncio
import logging
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import cast

from cost_insights.api.admission import Budget
from cost_insights.api.compatible import ENDPOINTS, CompatibleParts, compatible_calls
from cost_insights.api.events import event_calls
from cost_insights.api.exporting import Exports
from cost_insights.api.health import Health
from cost_insights.api.metrics import metrics_calls
from cost_insights.api.operations import OPERATIONS, BytesCall, Call, CallKind
from cost_insights.api.revenue import revenue_calls
from cost_insights.api.statuses import log_failed_calls
from cost_insights.api.system_events import system_event_call
from cost_insights.api.work import Work
from cost_insights.cells import CellCache
from cost_insights.cells.compactor import Compactor
from cost_insights.customers import CustomerCache, CustomerReader, DefaultLimits
from cost_insights.events import (
    EventNameReader,
    EventSearcher,
    EventTypes,
    EventWriter,
    Ingestor,
)
from cost_insights.identity import Authenticator, Buckets, RateLimits, SharedTimes
from cost_insights.jobs import Runner
from cost_insights.metrics import Caches, Dashboards, LedgerCache, MetricsExporter, MetricsReader
from cost_insights.revenue import Recorder, RevenueReader
from cost_insights.settings import LogFormat, Settings
from cost_insights.store import Store
from cost_insights.telemetry import Calls, Instruments, Measurements, Rows
from cost_insights.telemetry.telemetry import Telemetry

_CLOSE_SECONDS = 2.5
"""The time that work may take which is still to be done once the doors are closed."""

_OWN_CONNECTIONS = 4
"""The connections of a process that no call reads with: of the writer, the recorder, the compactor
and its lease."""


def define_measurements(instruments: Instruments) -> Measurements:
    """Defines the measurements of the service."""
    return Measurements(
        instruments,
        rpcs=[operation.method for operation in OPERATIONS.values()],
        streams=[
            operation.method
            for operation in OPERATIONS.values()
            if operation.kind is CallKind.BIDIRECTIONAL
        ],
        endpoints=[endpoint.name for endpoint in ENDPOINTS],
        release=version("cost-insights"),
        python=platform.python_version(),
    )


class App:
    """The parts of one process, whatever doors lead to them."""

    def __init__(
        self,
        settings: Settings,
        *,
        shared_rates: SharedTimes | None = None,
        rows: Rows | None = None,
    ) -> None:
        """`shared_rates` holds what other processes of the service take of the same rates, and
        `rows` the measurements of all of them."""
        self.settings = settings
        self.telemetry = Telemetry(
            define_measurements,
            rows,
            is_shown=bool(settings.admin_address),
            release=version("cost-insights"),
        )
        measurements = self.measurements = self.telemetry.measurements
        # A line for each call is for machines: people would not find anything else any more.
        access_level = logging.INFO if settings.log_format is LogFormat.JSON else logging.DEBUG
        self.measured_calls = Calls(measurements.calls, access_level, self.telemetry.tracer)
        self.store = Store(
            settings.database_url,
            connections_max=settings.database_connections_max,
            retry_seconds=settings.database_retry_seconds,
            answer_seconds_max=settings.database_answer_seconds_max,
            measurements=measurements.database,
        )
        self.authenticator = Authenticator(
            self.store,
            open_organization=settings.open_organization,
            cache_ms=settings.token_cache_ms,
            buckets=Buckets(
                RateLimits(
                    settings.organization_events_per_second,
                    settings.organization_requests_per_second,
                ),
                burst_seconds=settings.rate_burst_seconds,
                shared=shared_rates,
            ),
        )
        self.caches = Caches(
            CellCache(settings.cache_bytes_max, measurements.cells), CustomerCache()
        )
        self._ledgers = LedgerCache(settings.ledger_bytes_max, measurements.ledgers)
        self.health = Health(self.store)
        self.budget = Budget(settings.in_flight_bytes_max)
        self.stopping = asyncio.Event()
        """Set once the service stops, which ends streams."""

        self._limits = DefaultLimits(
            settings.organization_customers_max, settings.organization_series_max
        )
        self._ingestor = Ingestor(
            EventWriter(
                self.store,
                self.caches.cells,
                measurements.ingest,
                defaults=self._limits,
            ),
            limits=settings.limits(),
            waiting_events_max=settings.waiting_events_max,
            waiting_bytes_max=settings.waiting_bytes_max,
            measurements=measurements.ingest,
        )
        reading = max(2, self.store.transactions_max - _OWN_CONNECTIONS)
        self._exports_max = max(1, reading // 2)
        self._work = Work(
            self.store,
            query_seconds_max=settings.query_seconds_max,
            readers=max(2, reading - self._exports_max),
        )
        self._compactor = Compactor(self.store, self.caches.cells, measurements.compaction)
        self._jobs = [Runner(self.store, self._compactor)] if settings.compact else []
        events = EventSearcher(self.store, self.caches.cells, self.caches.customers)
        names = EventNameReader(self.store, self.caches.cells)
        metrics = MetricsReader(
            self.store,
            self.caches,
            self._ledgers,
            question_bytes_max=settings.question_bytes_max,
            measurements=measurements.questions,
        )
        self.calls = self._calls(events, names, metrics)
        """The implementation of each operation, by its path."""

        self.compatible_calls = compatible_calls(
            cast("BytesCall", self.calls["/cost_insights.v1.EventService/IngestEvents"]),
            CompatibleParts(
                events=events,
                types=EventTypes(self.store, names),
                customers=CustomerReader(self.store, self._limits),
                metrics=metrics,
                dashboards=Dashboards(self.store),
            ),
            self._work,
        )
        """The implementation of each endpoint of the compatible API, by its name."""

    async def open(self) -> None:
        """Brings the database up to date, or checks that it is.

        Raises StoreUnavailableError if it does not answer, and SchemaError if its schema is not
        the one that this program works with.
        """
        store = self.store
        await asyncio.to_thread(
            store.upgrade if self.settings.database_upgrade else store.check_schema
        )

    def start(self) -> None:
        """Starts storing events, the jobs in the background and measuring."""
        self.telemetry.start(self._measure)
        self._ingestor.start()
        self.authenticator.uses.start()
        for job in self._jobs:
            job.start()

    async def close(self) -> None:
        """Stores the waiting events, finishes running work and closes the database.

        If the database does not answer, the work fails after some seconds.
        """
        self.telemetry.stop()
        giving_up = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self.store.give_up)
        try:
            await self._ingestor.close()
            for job in self._jobs:
                await asyncio.to_thread(job.stop)
            await self._work.close()
            await asyncio.to_thread(self.authenticator.uses.stop)
            await asyncio.to_thread(self.authenticator.close)
        finally:
            giving_up.cancel()
        await asyncio.to_thread(self.store.close)
        log_failed_calls()
        await asyncio.to_thread(self.telemetry.close)

    def other_bytes(self) -> int:
        """The bytes that caches hold and running questions may take, besides the budget."""
        return (
            self.caches.cells.held_bytes
            + self._ledgers.held_bytes
            + self._work.reading * self.settings.question_bytes_max
        )

    def _measure(self) -> None:
        """Sets the gauges of every part."""
        ingest = self.measurements.ingest
        ingest.in_flight_bytes.set(self.budget.held_bytes)
        ingest.in_flight_bytes_max.set(self.budget.bytes_max)
        self._ingestor.measure()
        self._compactor.measure()
        self._ledgers.measure()
        self.caches.cells.measure()
        self.store.measure()

    def _calls(
        self, events: EventSearcher, names: EventNameReader, metrics: MetricsReader
    ) -> Mapping[str, Call]:
        settings, store, work = self.settings, self.store, self._work
        recorder = Recorder(store, self._limits)
        exports = Exports(
            store,
            MetricsExporter(store, metrics),
            work,
            cost_rows_max=self._exports_max,
        )
        record_system_events = system_event_call(
            recorder, work, clock_skew_ms=settings.clock_skew_ms
        )
        return {
            **event_calls(
                self._ingestor,
                events,
                names,
                work,
                budget=self.budget,
                stopping=self.stopping,
                record_system_events=record_system_events,
            ),
            **metrics_calls(metrics, exports, work),
            **revenue_calls(
                recorder, RevenueReader(store), work, clock_skew_ms=settings.clock_skew_ms
            ),
        }
