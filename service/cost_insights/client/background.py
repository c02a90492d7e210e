"""The client that sends from a thread of its own, many events a call."""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

import grpc
from google.rpc import status_pb2

from cost_insights.client import answers, inputs, requests
from cost_insights.client.errors import CallError, UnavailableError
from cost_insights.client.sync import Client
from cost_insights.v1 import event_pb2

_log = logging.getLogger(__name__)

_Why: TypeAlias = answers.Fault | answers.Conflict | CallError

Refusal = Callable[[event_pb2.NewEvent, _Why], None]
"""Called once for each event that was not stored, with the reason: its first fault, or the
failure."""


def _log_refusal(event: event_pb2.NewEvent, why: _Why) -> None:
    _log.error("the event %s %r was not stored: %s", event.name, event.external_id, why)


class BackgroundClient:
    """Takes events at once and stores them in batches soon after.

    `send` waits only where `waiting_events_max` events are still to be stored.
    `flush` returns once all that was sent is stored or refused; `close` and leaving
    the context do the same. An event that is refused is handed to `on_refused`, which
    logs it unless told otherwise, and does not hold up the others.

    A program that ends without `close` flushes for up to `exit_seconds`; what is not
    stored by then is logged and handed to `on_refused`. That holds for an exception
    and for `sys.exit`, but not for a signal that ends the process at once, as SIGTERM
    does by default: a handler that calls `sys.exit` turns it into an ordinary end.

    Threads and connections do not outlive a fork, so a client is made after it, in
    the process that uses it; in a child of that process `send` raises RuntimeError.
    """

    def __init__(
        self,
        client: Client,
        *,
        batch_events_max: int = 1_000,
        linger_seconds: float = 0.1,
        waiting_events_max: int = 100_000,
        exit_seconds: float = 10,
        on_refused: Refusal = _log_refusal,
    ) -> None:
        """`client` stays open when this one is closed."""
        self._client = client
        self._batch_events_max = batch_events_max
        self._linger_seconds = linger_seconds
        self._waiting_events_max = waiting_events_max
        self._exit_seconds = exit_seconds
        self._on_refused = on_refused
        self._changed = threading.Condition()
        """Held for all that follows, and notified where somebody may wait for it."""
        self._waiting: deque[event_pb2.NewEvent] = deque()
        self._sending: list[event_pb2.NewEvent] = []
        """The batch that is on its way, until its answer is taken."""
        self._taken = 0
        self._settled = 0
        """The number of events taken, and the number of those stored or refused."""
        self._flushing = 0
        self._closed = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="cost-insights", daemon=True)
        self._thread.start()
        atexit.register(self._exit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, event: inputs.EventLike) -> None:
        """Takes an event; raises InvalidEventError if it cannot be put into a message."""
        self._check_process()
        message = requests.new_event(event)
        if not message.HasField("timestamp"):
            # The event happens now, not when its batch arrives.
            message.timestamp.FromNanoseconds(time.time_ns())
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._waiting) < self._waiting_events_max
            )
            if self._closed:
                raise RuntimeError("the client is closed")
            self._waiting.append(message)
            self._taken += 1
            if len(self._waiting) == 1 or len(self._waiting) >= self._batch_events_max:
                self._changed.notify_all()

    def flush(self) -> None:
        """Returns once everything sent so far is stored or refused."""
        self._check_process()
        with self._changed:
            taken = self._taken
            self._flushing += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._settled >= taken)
            finally:
                self._flushing -= 1

    def close(self, timeout_seconds: float | None = None) -> None:
        """Flushes and takes no more events.

        While the service does not answer, the first batch is tried again for as long
        as the `Client` does that, and the events behind it are then given up with it.
        What is not stored after `timeout_seconds` is given up, too.
        """
        if os.getpid() != self._process:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self._give_up(f"not stored within {timeout_seconds:g} seconds of closing")
        atexit.unregister(self._exit)

    def _exit(self) -> None:
        self.close(self._exit_seconds)

    def _check_process(self) -> None:
        # Before anything is locked: in a child, a lock may be held by a thread that is not there.
        if os.getpid() != self._process:
            raise RuntimeError(
                "the client was made before the process forked; make the Client and the "
                "BackgroundClient in the process that uses them"
            )

    def _run(self) -> None:
        while batch := self._next_batch():
            refused = self._store(batch)
            with self._changed:
                if not self._sending:
                    # The batch was given up meanwhile, and its events were reported.
                    return
                self._sending = []
                if self._closed and any(isinstance(why, UnavailableError) for _, why in refused):
                    # The service is away; each further batch would wait for it as long again.
                    why = refused[0][1]
                    refused += [(event, why) for event in self._waiting]
                    batch += self._waiting
                    self._waiting.clear()
            for event, why in refused:
                self._refused(event, why)
            with self._changed:
                self._settled += len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[event_pb2.NewEvent]:
        """The next events; none once it is closed and all are sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(
                lambda: (
                    self._closed or self._flushing or len(self._waiting) >= self._batch_events_max
                ),
                self._linger_seconds,
            )
            count = min(len(self._waiting), self._batch_events_max)
            self._sending = [self._waiting.popleft() for _ in range(count)]
            self._changed.notify_all()
            return list(self._sending)

    def _store(self, batch: list[event_pb2.NewEvent]) -> list[tuple[event_pb2.NewEvent, _Why]]:
        """Sends a batch and returns the events that were not stored, each once."""
        try:
            ingested = self._client.ingest(batch, accept_valid=True)
        except CallError as error:
            return [(event, error) for event in batch]
        except Exception as error:  # noqa: BLE001 (such as a Client that was closed)
            words = f"{type(error).__name__}: {error}"
            failed = CallError(grpc.StatusCode.UNKNOWN, words, status_pb2.Status())
            return [(event, failed) for event in batch]
        why: dict[int, _Why] = {one.index: one for one in ingested.conflicts}
        for fault in ingested.faults:
            why.setdefault(fault.index, fault)
        return [(batch[index], why[index]) for index in sorted(why)]

    def _give_up(self, words: str) -> None:
        """Refuses all that is not settled."""
        with self._changed:
            left = [*self._sending, *self._waiting]
            self._sending = []
            self._waiting.clear()
            self._settled += len(left)
            self._changed.notify_all()
        if not left:
            return
        _log.error("%d events were not stored, or it is not known whether: %s", len(left), words)
        why = UnavailableError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"the event was sent, but {words}",
            status_pb2.Status(),
        )
        for event in left:
            self._refused(event, why)

    def _refused(self, event: event_pb2.NewEvent, why: _Why) -> None:
        try:
            self._on_refused(event, why)
        except Exception:  # noqa: BLE001 (the thread must outlive the caller's function)
            _log.exception("on_refused failed")
