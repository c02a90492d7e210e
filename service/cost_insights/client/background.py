"""The client that sends from a thread of its own, many events a call."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, Unpack, overload

import grpc
from google.rpc import status_pb2

from cost_insights.client import answers, requests, tracking
from cost_insights.client.errors import CallError, RefusedError, UnavailableError
from cost_insights.client.sync import Client
from cost_insights.v1 import event_pb2

if TYPE_CHECKING:
    from cost_insights.client import inputs, llm

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

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
            self._take(message)

    def offer(self, event: inputs.EventLike) -> None:
        """Takes an event like `send`, but neither waits nor raises.

        An event that cannot be taken is handed to `on_refused`: one that fits no message, one for
        which there is no room among `waiting_events_max`, and all after closing or in a child
        process.
        """
        try:
            message = requests.new_event(event)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller goes on)
            name = event.get("name") if isinstance(event, Mapping) else event.name
            message = event_pb2.NewEvent(name=str(name))
            self._cannot_take(message, RefusedError, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return
        if not message.HasField("timestamp"):
            message.timestamp.FromNanoseconds(time.time_ns())
        words = "the client was made before the process forked"
        if os.getpid() == self._process:
            with self._changed:
                if self._closed:
                    words = "the client is closed"
                elif len(self._waiting) < self._waiting_events_max:
                    self._take(message)
                    return
                else:
                    words = f"{len(self._waiting)} events are still to be stored"
        self._cannot_take(message, UnavailableError, grpc.StatusCode.UNAVAILABLE, words)

    def track(
        self,
        name: str,
        *,
        duration: bool = False,
        customer_of: Callable[..., str] | None = None,
        **fields: Unpack[tracking.TrackedFields],
    ) -> tracking.Track:
        """Makes a block, or each call of a function, an event that is sent when it ends.

        As a context manager it gives the event, to set its cost and whatever else; in a function
        that it decorates, a plain one or a coroutine, `current_event()` is the event, and
        `customer_of` finds the external id of the customer by the arguments of a call. The event
        happened when the block began; with `duration`, its metadata holds `duration_ms`.

        A block that raises sends what was set until then, with the name of the exception as
        `error` in the metadata; the exception goes on. The block itself is neither delayed nor
        broken by what it tracks: see `offer`.
        """
        return tracking.Track(self.offer, name, fields, duration=duration, customer_of=customer_of)

    def track_llm(
        self,
        response: Any,
        *,
        name: str = "llm.inference",
        prices: llm.LlmPrices | None = None,
        vendor: str | None = None,
        model: str | None = None,
        **fields: Unpack[tracking.TrackedFields],
    ) -> None:
        """Sends the usage of an LLM's answer as an event, and its cost: the one that is given, or
        the one that follows from the prices.

        Takes answers of OpenAI, Anthropic and Google GenAI; see `llm_usage`. Never raises: an
        answer that tells no usage is logged, and counts only if its cost is given.
        """
        event = tracking.TrackedEvent(name, fields)
        wanted = prices if event.cost is None else None
        event.set_llm(response, prices=wanted, vendor=vendor, model=model)
        if event.llm is not None or event.cost is not None:
            self.offer(event.as_event(time.time_ns()))

    @overload
    def track_llm_stream(
        self,
        parts: Iterable[_T],
        *,
        name: str = ...,
        prices: llm.LlmPrices | None = ...,
        vendor: str | None = ...,
        model: str | None = ...,
        **fields: Unpack[tracking.TrackedFields],
    ) -> tracking.LlmStream[_T]: ...

    @overload
    def track_llm_stream(
        self,
        parts: AsyncIterable[_T],
        *,
        name: str = ...,
        prices: llm.LlmPrices | None = ...,
        vendor: str | None = ...,
        model: str | None = ...,
        **fields: Unpack[tracking.TrackedFields],
    ) -> tracking.AsyncLlmStream[_T]: ...

    def track_llm_stream(
        self,
        parts: Iterable[_T] | AsyncIterable[_T],
        *,
        name: str = "llm.inference",
        prices: llm.LlmPrices | None = None,
        vendor: str | None = None,
        model: str | None = None,
        **fields: Unpack[tracking.TrackedFields],
    ) -> tracking.LlmStream[_T] | tracking.AsyncLlmStream[_T]:
        """The parts of a streamed answer, as they come; when they end, what `track_llm` sends.

        Chat completions of OpenAI tell their usage with `stream_options={"include_usage": True}`.
        Whoever takes no more of a stream calls `close`, or `aclose`.
        """
        time_ns = time.time_ns()

        def finish(reader: llm.UsageReader) -> None:
            event = tracking.TrackedEvent(name, fields)
            usage = reader.usage(vendor=vendor, model=model)
            if usage is None:
                _log.warning("a streamed answer told no usage of tokens")
            else:
                event.set_usage(usage, prices if event.cost is None else None)
            if usage is not None or event.cost is not None:
                self.offer(event.as_event(time_ns))

        if isinstance(parts, AsyncIterable):
            return tracking.AsyncLlmStream(parts, finish)
        return tracking.LlmStream(parts, finish)

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

    def _take(self, message: event_pb2.NewEvent) -> None:
        self._waiting.append(message)
        self._taken += 1
        if len(self._waiting) == 1 or len(self._waiting) >= self._batch_events_max:
            self._changed.notify_all()

    def _cannot_take(
        self,
        message: event_pb2.NewEvent,
        kind: type[CallError],
        code: grpc.StatusCode,
        words: str,
    ) -> None:
        self._refused(message, kind(code, words, status_pb2.Status()))

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
