"""Events that a block of a program fills, and that are sent when it ends."""

from __future__ import annotations

import contextvars
import functools
import inspect
import logging
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypedDict, TypeVar, cast

from google.protobuf import timestamp_pb2

from cost_insights.client.later import Later

if TYPE_CHECKING:
    from cost_insights.client import inputs, llm
else:
    llm = Later("cost_insights.client.llm")

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")

Offer = Callable[["inputs.NewEvent"], None]
"""Takes an event to send it later; neither waits nor raises."""

_NANOSECONDS: Final = 10**9


class TrackedFields(TypedDict, total=False):
    """Fields that a tracked event begins with. One of the two customers is needed by its end."""

    external_customer_id: str
    customer_id: str
    external_id: str
    parent_id: str
    external_member_id: str
    product_id: str
    cost: inputs.Amount | float
    """In cents."""
    metadata: Mapping[str, Any]


class TrackedEvent:
    """An event that is sent when its block ends; until then every field can be set.

    `external_id` is known at once, so that events of the block can name this one as their
    `parent_id`.
    """

    def __init__(self, name: str, fields: TrackedFields) -> None:
        self.name = name
        self.external_customer_id: str | None = fields.get("external_customer_id")
        self.customer_id: str | None = fields.get("customer_id")
        self.external_id: str = fields.get("external_id") or str(uuid.uuid4())
        self.parent_id: str | None = fields.get("parent_id")
        self.external_member_id: str | None = fields.get("external_member_id")
        self.product_id: str | None = fields.get("product_id")
        self.cost: inputs.Amount | float | None = fields.get("cost")
        """In US cents."""
        self.llm: inputs.NewLlm | None = None
        self.metadata: dict[str, Any] = dict(fields.get("metadata", {}))
        self.is_discarded = False

    def discard(self) -> None:
        """Makes the end of the block send nothing."""
        self.is_discarded = True

    def set_llm(
        self,
        response: Any,
        *,
        prices: llm.LlmPrices | None = None,
        vendor: str | None = None,
        model: str | None = None,
    ) -> None:
        """Takes the usage of an LLM's answer, and its cost where the prices tell it.

        An answer that tells no usage, and a model without a price, are logged.
        """
        try:
            usage = llm.llm_usage(response, vendor=vendor, model=model)
        except Exception:  # noqa: BLE001 (whatever an answer is, the block goes on)
            _log.exception("the usage of an LLM call could not be read")
            return
        self.set_usage(usage, prices)

    def set_usage(self, usage: llm.LlmUsage, prices: llm.LlmPrices | None = None) -> None:
        """Takes a usage, and its cost where the prices tell it."""
        self.llm = usage.event_fields()
        if prices is None:
            return
        price = llm.price_of(prices, usage.model)
        if price is None:
            _log.warning("the model %r has no price: its event has no cost", usage.model)
        else:
            self.cost = usage.cost(price)

    def as_event(self, time_ns: int) -> inputs.NewEvent:
        """The event, which happened at a time since the epoch."""
        happened = timestamp_pb2.Timestamp(
            seconds=time_ns // _NANOSECONDS, nanos=time_ns % _NANOSECONDS
        )
        event: dict[str, Any] = {
            "name": self.name,
            "external_customer_id": self.external_customer_id,
            "customer_id": self.customer_id,
            "timestamp": happened.ToJsonString(),
            "external_id": self.external_id,
            "parent_id": self.parent_id,
            "external_member_id": self.external_member_id,
            "product_id": self.product_id,
            "llm": self.llm,
            "metadata": self.metadata,
        }
        if self.cost is not None:
            event["cost"] = {"amount": self.cost, "currency": "usd"}
        given = {key: value for key, value in event.items() if value is not None}
        return cast("inputs.NewEvent", given)


_current: contextvars.ContextVar[TrackedEvent] = contextvars.ContextVar("cost_insights_event")


def current_event() -> TrackedEvent:
    """The event of the tracked function that is running; outside of one, an event that is not
    sent."""
    return _current.get(None) or TrackedEvent("", {})


class Track:
    """A context manager for one block, which fills an event, or a decorator of functions."""

    def __init__(
        self,
        offer: Offer,
        name: str,
        fields: TrackedFields,
        *,
        duration: bool,
        customer_of: Callable[..., str] | None,
    ) -> None:
        self._offer = offer
        self._name = name
        self._fields = fields
        self._duration = duration
        self._customer_of = customer_of
        self._event: TrackedEvent | None = None
        self._time_ns = self._started_ns = 0

    def __enter__(self) -> TrackedEvent:
        if self._event is not None:
            raise RuntimeError("a Track is for one block; call track(…) for each")
        self._event = TrackedEvent(self._name, self._fields)
        self._time_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        return self._event

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        event = self._event
        if event is None or event.is_discarded:
            return
        passed_ns = time.perf_counter_ns() - self._started_ns
        try:
            if self._duration:
                event.metadata.setdefault("duration_ms", round(passed_ns / 1_000_000, 3))
            if kind is not None:
                event.metadata.setdefault("error", kind.__name__)
            self._offer(event.as_event(self._time_ns))
        except Exception:  # noqa: BLE001 (whatever the block made of the event, it has ended)
            _log.exception("the event %s was not sent", event.name)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """The function, each call of which is an event of its own."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator, which runs in pieces; track a block "
                "inside of it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with self._for_call(args, kwargs) as event:
                    token = _current.set(event)
                    try:
                        return await function(*args, **kwargs)
                    finally:
                        _current.reset(token)

            return cast(Callable[_P, _R], awaited)

        @functools.wraps(function)
        def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self._for_call(args, kwargs) as event:
                token = _current.set(event)
                try:
                    return function(*args, **kwargs)
                finally:
                    _current.reset(token)

        return called

    def _for_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Track:
        fields = self._fields
        if self._customer_of is not None:
            try:
                fields = {**fields, "external_customer_id": self._customer_of(*args, **kwargs)}
            except Exception:  # noqa: BLE001 (the function is called in any case)
                _log.exception("the customer of a call of %s is not known", self._name)
        return Track(self._offer, self._name, fields, duration=self._duration, customer_of=None)


class LlmStream(Iterator[_T]):
    """The parts of an answer of an LLM, whose usage is sent once they are taken."""

    def __init__(self, parts: Iterable[_T], finish: Callable[[llm.UsageReader], None]) -> None:
        self._stream = parts
        self._parts = iter(parts)
        self._reader = llm.UsageReader()
        self._finish = finish
        self._is_finished = False

    def __next__(self) -> _T:
        try:
            part = next(self._parts)
        except BaseException:
            self._end()
            raise
        _read(self._reader, part)
        return part

    def close(self) -> None:
        """Ends the stream, and sends what is known of the usage so far."""
        self._end()
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()

    def _end(self) -> None:
        if not self._is_finished:
            self._is_finished = True
            self._finish(self._reader)


class AsyncLlmStream(AsyncIterator[_T]):
    """The asyncio counterpart of `LlmStream`."""

    def __init__(self, parts: AsyncIterable[_T], finish: Callable[[llm.UsageReader], None]) -> None:
        self._stream = parts
        self._parts = aiter(parts)
        self._reader = llm.UsageReader()
        self._finish = finish
        self._is_finished = False

    async def __anext__(self) -> _T:
        try:
            part = await anext(self._parts)
        except BaseException:
            self._end()
            raise
        _read(self._reader, part)
        return part

    async def aclose(self) -> None:
        """Ends the stream, and sends what is known of the usage so far."""
        self._end()
        close = getattr(self._stream, "aclose", None) or getattr(self._stream, "close", None)
        if close is not None:
            await close()

    def _end(self) -> None:
        if not self._is_finished:
            self._is_finished = True
            self._finish(self._reader)


def _read(reader: llm.UsageReader, part: Any) -> None:
    try:
        reader.read(part)
    except Exception:  # noqa: BLE001 (whatever a part is, the stream goes on)
        _log.exception("the usage of a part of an answer could not be read")
