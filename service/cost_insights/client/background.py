"""The client that sends from a thread of its own, many events a call."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cost_insights.client import answers, requests
from cost_insights.client.errors import CallError
from cost_insights.client.sync import Client
from cost_insights.v1 import event_pb2

_log = logging.getLogger(__name__)

Refusal = Callable[[event_pb2.NewEvent, answers.Fault | answers.Conflict | CallError], None]
"""Told of each event that was not stored, and why."""


def _log_refusal(
    event: event_pb2.NewEvent, why: answers.Fault | answers.Conflict | CallError
) -> None:
    _log.error("the event %s %r was not stored: %s", event.name, event.external_id, why)


class BackgroundClient:
    """Takes events at once and stores them in batches soon after.

    `send` waits only where `waiting_events_max` events are still to be stored.
    `flush` returns once all that was sent is stored or refused; leaving the
    context does the same. An event that is refused is handed to `on_refused`,
    which logs it unless told otherwise, and does not hold up the others.
    """

    def __init__(
        self,
        client: Client,
        *,
        batch_events_max: int = 1_000,
        linger_seconds: float = 0.1,
        waiting_events_max: int = 100_000,
        on_refused: Refusal = _log_refusal,
    ) -> None:
        """`client` is closed with this one."""
        self._client = client
        self._batch_events_max = batch_events_max
        self._linger_seconds = linger_seconds
        self._on_refused = on_refused
        self._queue: queue.Queue[event_pb2.NewEvent | None] = queue.Queue(waiting_events_max)
        self._hurry = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cost-insights", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, event: requests.EventLike) -> None:
        """Takes an event; raises InvalidEventError if it is no event at all."""
        if self._closed:
            raise RuntimeError("the client is closed")
        message = requests.new_event(event)
        if not message.HasField("timestamp"):
            # It happened now, not when the batch arrives.
            message.timestamp.FromNanoseconds(time.time_ns())
        self._queue.put(message)

    def flush(self) -> None:
        """Returns once everything sent so far is stored or refused."""
        self._hurry.set()
        self._queue.join()
        self._hurry.clear()

    def close(self) -> None:
        """Flushes and closes the connection."""
        if not self._closed:
            self._closed = True
            self._hurry.set()
            self._queue.put(None)
            self._thread.join()
            self._client.close()

    def _run(self) -> None:
        while True:
            batch, more = self._next_batch()
            if batch:
                self._store(batch)
            for _ in range(len(batch) + (0 if more else 1)):
                self._queue.task_done()
            if not more:
                return

    def _next_batch(self) -> tuple[list[event_pb2.NewEvent], bool]:
        """The next events, and whether others may follow."""
        batch: list[event_pb2.NewEvent] = []
        due = None
        while len(batch) < self._batch_events_max:
            try:
                if due is None:
                    event = self._queue.get()
                    due = time.monotonic() + self._linger_seconds
                elif self._hurry.is_set():
                    event = self._queue.get_nowait()
                else:
                    event = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                break
            if event is None:
                return batch, False
            batch.append(event)
        return batch, True

    def _store(self, batch: list[event_pb2.NewEvent]) -> None:
        try:
            ingested = self._client.ingest(batch, accept_valid=True)
        except CallError as error:
            for event in batch:
                self._refused(event, error)
            return
        for fault in ingested.faults:
            self._refused(batch[fault.index], fault)
        for conflict in ingested.conflicts:
            self._refused(batch[conflict.index], conflict)

    def _refused(
        self, event: event_pb2.NewEvent, why: answers.Fault | answers.Conflict | CallError
    ) -> None:
        try:
            self._on_refused(event, why)
        except Exception:  # noqa: BLE001 (the thread must outlive the caller's function)
            _log.exception("on_refused failed")
