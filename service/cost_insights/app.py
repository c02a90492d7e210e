"""Every part of the service, built once from its settings and closed in reverse."""

import asyncio
from collections.abc import Mapping
from typing import cast

from cost_insights.api.admission import Budget
from cost_insights.api.compatible import CompatibleParts, compatible_calls
from cost_insights.api.events import event_calls
from cost_insights.api.exporting import Exports
from cost_insights.api.health import Health
from cost_insights.api.metrics import metrics_calls
from cost_insights.api.operations import BytesCall, Call
from cost_insights.api.revenue import revenue_calls
from cost_insights.api.statuses import log_failed_calls
from cost_insights.api.system_events import system_event_call
from cost_insights.api.work import Work
from cost_insights.cells import CellCache
from cost_insights.cells.compactor import Compactor
from cost_insights.customers import CustomerCache, CustomerReader
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
from cost_insights.settings import Settings
from cost_insights.store import Store

_CLOSE_SECONDS = 2.5
"""The time that work may take which is still to be done once the doors are closed."""

_OWN_CONNECTIONS = 4
"""The connections of a process that no call reads with: of the writer, the recorder, the compactor
and its lease."""


class App:
    """The parts of one process, whatever doors lead to them."""

    def __init__(self, settings: Settings, *, shared_rates: SharedTimes | None = None) -> None:
        """`shared_rates` holds what other processes of the service take of the same rates."""
        self.settings = settings
        self.store = Store(
            settings.database_url,
            connections_max=settings.database_connections_max,
            retry_seconds=settings.database_retry_seconds,
            answer_seconds_max=settings.database_answer_seconds_max,
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
        self.caches = Caches(CellCache(settings.cache_bytes_max), CustomerCache())
        self.health = Health(self.store)
        self.budget = Budget(settings.in_flight_bytes_max)
        self.stopping = asyncio.Event()
        """Set once the service stops, which ends streams."""

        self._ingestor = Ingestor(
            EventWriter(self.store, self.caches.cells),
            limits=settings.limits(),
            waiting_events_max=settings.waiting_events_max,
            waiting_bytes_max=settings.waiting_bytes_max,
        )
        reading = max(2, self.store.transactions_max - _OWN_CONNECTIONS)
        self._exports_max = max(1, reading // 2)
        self._work = Work(
            self.store,
            query_seconds_max=settings.query_seconds_max,
            readers=max(2, reading - self._exports_max),
        )
        self._jobs = (
            [Runner(self.store, Compactor(self.store, self.caches.cells))]
            if settings.compact
            else []
        )
        events = EventSearcher(self.store, self.caches.cells, self.caches.customers)
        names = EventNameReader(self.store, self.caches.cells)
        metrics = MetricsReader(
            self.store,
            self.caches,
            LedgerCache(settings.ledger_bytes_max),
            question_bytes_max=settings.question_bytes_max,
        )
        self.calls = self._calls(events, names, metrics)
        """The implementation of each operation, by its path."""

        self.compatible_calls = compatible_calls(
            cast("BytesCall", self.calls["/cost_insights.v1.EventService/IngestEvents"]),
            CompatibleParts(
                events=events,
                types=EventTypes(self.store, names),
                customers=CustomerReader(self.store),
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
        """Starts storing events and the jobs in the background."""
        self._ingestor.start()
        self.authenticator.uses.start()
        for job in self._jobs:
            job.start()

    async def close(self) -> None:
        """Stores the waiting events, finishes running work and closes the database.

        If the database does not answer, the work fails after some seconds.
        """
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

    def _calls(
        self, events: EventSearcher, names: EventNameReader, metrics: MetricsReader
    ) -> Mapping[str, Call]:
        settings, store, work = self.settings, self.store, self._work
        recorder = Recorder(store)
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
